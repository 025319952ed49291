//! The ids of a span.

use std::fmt;

use opentelemetry::trace::{SpanId, TraceFlags, TraceId};
use sha2::{Digest as _, Sha256};

/// The ids of a span and whether its trace is sampled: a W3C trace context
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Its flags.
    pub flags: TraceFlags,
}

impl TraceContext {
    /// Parses a `traceparent`.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-').skip(1);
        let trace = TraceId::from_hex(parts.next()?).ok()?;
        let span = SpanId::from_hex(parts.next()?).ok()?;
        let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
        let is_valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        is_valid.then_some(Self {
            trace,
            span,
            flags: TraceFlags::new(flags),
        })
    }

    /// A context with ids that follow from these parts.
    pub(super) fn derive(parts: &[&str]) -> Self {
        let trace = TraceId::from_bytes(first(digest(parts)));
        Self {
            trace,
            span: SpanId::INVALID,
            flags: TraceFlags::NOT_SAMPLED,
        }
        .child(parts)
    }

    /// The context of the span in this trace that these parts name. The same parts give the same id, in every process.
    #[must_use]
    pub fn child(self, parts: &[&str]) -> Self {
        let trace = self.trace.to_string();
        let named: Vec<&str> = std::iter::once(trace.as_str())
            .chain(parts.iter().copied())
            .collect();
        Self {
            span: SpanId::from_bytes(first(digest(&named))),
            ..self
        }
    }

    #[must_use]
    pub(super) fn with_sampled(self, sampled: bool) -> Self {
        Self {
            flags: self.flags.with_sampled(sampled),
            ..self
        }
    }
}

/// Writes a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace}-{span}-{:02x}", flags.to_u8())
    }
}

/// The lengths keep parts apart.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn first<const N: usize>(digest: [u8; 32]) -> [u8; N] {
    let mut first = [0; N];
    for (to, from) in first.iter_mut().zip(digest) {
        *to = from;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        assert_eq!(TraceContext::parse(PRODUCER).unwrap().to_string(), PRODUCER);
        let newer = format!("{PRODUCER}-more").replacen("00", "01", 1);
        assert_eq!(TraceContext::parse(&newer).unwrap().to_string(), PRODUCER);
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_follow_from_the_parts() {
        let context = TraceContext::derive(&["a", "bc"]);
        assert_eq!(context, TraceContext::derive(&["a", "bc"]));
        assert_ne!(context, TraceContext::derive(&["ab", "c"]));
        let child = context.child(&["job", "1"]);
        assert_eq!(child.trace, context.trace);
        assert_ne!(child.span, context.span);
        assert_eq!(child, context.child(&["job", "1"]));
        let other = TraceContext::parse(PRODUCER).unwrap();
        assert_ne!(other.child(&["job", "1"]).span, child.span);
    }
}
