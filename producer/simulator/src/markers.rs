//! Markers in a prompt that control the simulator.
//!
//! The grammar is closed; `docs/SIMULATOR.md` lists it. Anything else between double brackets is ordinary text. Where
//! markers contradict one another the last one counts.

use std::time::Duration;

/// How a call ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// A whole answer.
    #[default]
    Whole,
    /// An answer cut short by the token limit.
    Length,
    /// The model refuses.
    Refused,
    /// The prompt is blocked before the model sees it; Gemini has its own response for that.
    Blocked,
    /// 200 with nothing in it.
    Empty,
    /// 200 with something that is no JSON.
    Garbage,
    /// The connection closes with no answer and no bill.
    Dropped,
    /// The connection closes with no answer, after the bill.
    DroppedBilled,
    /// No answer ever comes.
    Hung,
    /// The prompt is too long for the model.
    Context,
    /// The account's quota is exhausted.
    Quota,
}

/// The markers of one prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Markers<'a> {
    pub(super) latency: Option<Duration>,
    /// Whether the answer waits for `POST /release`.
    pub(super) held: bool,
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Duration>,
    /// How many first calls with this prompt fail, and with which status.
    pub(super) fail_first: Option<(u32, u16)>,
    pub(super) ending: Ending,
    /// Input and output.
    pub(super) tokens: Option<(u32, u32)>,
    pub(super) cached: u32,
    pub(super) reasoning: u32,
    pub(super) echo: Option<&'a str>,
    /// Whether the model calls a tool, if there is one.
    pub(super) calls: bool,
    /// Whether the body of the request is kept.
    pub(super) keeps: bool,
}

impl<'a> Markers<'a> {
    /// The markers in `prompt`.
    pub(super) fn read(prompt: &'a str) -> Self {
        let mut markers = Self::default();
        let mut rest = prompt;
        while let Some((_, inside, after)) = split(rest) {
            if markers.take(inside).is_some() {
                rest = after;
            } else {
                // Unknown: a real marker may begin inside it.
                rest = rest.split_once("[[").map_or("", |(_, tail)| tail);
            }
        }
        markers
    }

    fn take(&mut self, inside: &'a str) -> Option<()> {
        let (name, value) = inside.split_once('=').unwrap_or((inside, ""));
        let (_, effect) = MARKERS.iter().find(|(known, _)| *known == name)?;
        effect(self, value)
    }
}

/// What a marker with this value changes; `None` if it cannot have the value.
type Effect = for<'a> fn(&mut Markers<'a>, &'a str) -> Option<()>;

const MARKERS: [(&str, Effect); 20] = [
    ("latency", |markers, value| {
        let ms = value.parse().ok();
        put(
            &mut markers.latency,
            ms.map(Duration::from_millis).map(Some),
        )
    }),
    ("hold", |markers, value| {
        put(&mut markers.held, alone(value, true))
    }),
    ("status", |markers, value| {
        put(&mut markers.status, status(value).map(Some))
    }),
    ("retry_after", |markers, value| {
        put(&mut markers.retry_after, seconds(value).map(Some))
    }),
    ("fail_first", |markers, value| {
        let (count, code) = value.split_once(':')?;
        let failures = (count.parse().ok()?, status(code)?);
        put(&mut markers.fail_first, Some(Some(failures)))
    }),
    ("context", |markers, value| {
        put(&mut markers.ending, alone(value, Ending::Context))
    }),
    ("quota", |markers, value| {
        put(&mut markers.ending, alone(value, Ending::Quota))
    }),
    ("drop", |markers, value| {
        put(&mut markers.ending, alone(value, Ending::Dropped))
    }),
    ("drop_billed", |markers, value| {
        put(&mut markers.ending, alone(value, Ending::DroppedBilled))
    }),
    ("hang", |markers, value| {
        put(&mut markers.ending, alone(value, Ending::Hung))
    }),
    ("garbage", |markers, value| {
        put(&mut markers.ending, alone(value, Ending::Garbage))
    }),
    ("empty", |markers, value| {
        put(&mut markers.ending, alone(value, Ending::Empty))
    }),
    ("length", |markers, value| {
        put(&mut markers.ending, alone(value, Ending::Length))
    }),
    ("refuse", |markers, value| {
        let ending = match value {
            "" => Some(Ending::Refused),
            "prompt" => Some(Ending::Blocked),
            _ => None,
        };
        put(&mut markers.ending, ending)
    }),
    ("tokens", |markers, value| {
        let (input, output) = value.split_once(',')?;
        let counts = (input.trim().parse().ok()?, output.trim().parse().ok()?);
        put(&mut markers.tokens, Some(Some(counts)))
    }),
    ("cached", |markers, value| {
        put(&mut markers.cached, value.parse().ok())
    }),
    ("reasoning", |markers, value| {
        put(&mut markers.reasoning, value.parse().ok())
    }),
    ("echo", |markers, value| {
        put(&mut markers.echo, Some(Some(value)))
    }),
    ("call", |markers, value| {
        put(&mut markers.calls, alone(value, true))
    }),
    ("keep", |markers, value| {
        put(&mut markers.keeps, alone(value, true))
    }),
];

/// Sets a field, if there is something to set.
fn put<T>(field: &mut T, to: Option<T>) -> Option<()> {
    *field = to?;
    Some(())
}

/// What a marker without a value stands for.
fn alone<T>(value: &str, meaning: T) -> Option<T> {
    value.is_empty().then_some(meaning)
}

/// `prompt` with its double-bracketed words taken out, so that an answer which quotes the prompt
/// does not carry the prompt's markers into the next prompt of a chain.
pub(super) fn without_markers(prompt: &str) -> String {
    let mut text = String::with_capacity(prompt.len());
    let mut rest = prompt;
    while let Some((before, _, after)) = split(rest) {
        text.push_str(before);
        text.push(' ');
        rest = after;
    }
    text.push_str(rest);
    text
}

/// The text before, inside and after the first pair of double brackets.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (before, tail) = text.split_once("[[")?;
    let mut end = tail.find("]]")?;
    // `[[echo=[1]]]` echoes `[1]`: of a run of closing brackets the last two close the marker.
    while tail.get(end + 2..end + 3) == Some("]") {
        end += 1;
    }
    Some((before, tail.get(..end)?, tail.get(end + 2..)?))
}

/// An error status: 400 to 599.
fn status(text: &str) -> Option<u16> {
    text.parse().ok().filter(|code| (400..600).contains(code))
}

/// Seconds, which may have a fraction; a day at most.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    (0.0..=86_400.0)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_has_every_marker_and_only_these() {
        let mut rest = include_str!("../../../docs/SIMULATOR.md");
        let mut shown = BTreeSet::new();
        while let Some((_, inside, after)) = split(rest) {
            let marker = format!("[[{inside}]]");
            assert_ne!(
                Markers::read(&marker),
                Markers::default(),
                "docs/SIMULATOR.md has {marker}, which is no marker"
            );
            shown.extend(inside.split('=').next());
            rest = after;
        }
        let known: BTreeSet<_> = MARKERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            shown, known,
            "those in docs/SIMULATOR.md and those understood"
        );
    }

    #[test]
    fn every_marker_is_understood() {
        let markers = Markers::read(
            "a [[latency=20]][[hold]][[status=529]] b [[retry_after=1.5]] [[fail_first=2:503]] \
             [[tokens=10, 20]] [[cached=3]] [[reasoning=4]] [[echo=hello there]] [[call]] [[keep]] c",
        );
        assert_eq!(
            markers,
            Markers {
                latency: Some(Duration::from_millis(20)),
                held: true,
                status: Some(529),
                retry_after: Some(Duration::from_millis(1500)),
                fail_first: Some((2, 503)),
                ending: Ending::Whole,
                tokens: Some((10, 20)),
                cached: 3,
                reasoning: 4,
                echo: Some("hello there"),
                calls: true,
                keeps: true,
            }
        );
        for (text, ending) in [
            ("[[drop]]", Ending::Dropped),
            ("[[drop_billed]]", Ending::DroppedBilled),
            ("[[garbage]]", Ending::Garbage),
            ("[[empty]]", Ending::Empty),
            ("[[hang]]", Ending::Hung),
            ("[[length]]", Ending::Length),
            ("[[refuse]]", Ending::Refused),
            ("[[refuse=prompt]]", Ending::Blocked),
            ("[[context]]", Ending::Context),
            ("[[quota]]", Ending::Quota),
        ] {
            assert_eq!(Markers::read(text).ending, ending, "{text}");
        }
    }

    #[test]
    fn unknown_and_broken_markers_are_text() {
        for text in [
            "",
            "[[",
            "]]",
            "[[]]",
            "[[nonsense]]",
            "[[status=200]]",
            "[[status=abc]]",
            "[[tokens=1]]",
            "[[drop",
            "[[fail_first=2]]",
            "[[retry_after=-1]]",
            "[[retry_after=NaN]]",
            "[[drop=1]]",
            "[[hold=1]]",
            "[drop]",
        ] {
            assert_eq!(Markers::read(text), Markers::default(), "{text}");
        }
        assert_eq!(Markers::read("[[x [[drop]] ]]").ending, Ending::Dropped);
        assert_eq!(Markers::read("[[drop]] [[hang]]").ending, Ending::Hung);
    }

    #[test]
    fn an_echo_may_hold_brackets() {
        assert_eq!(Markers::read("[[echo=[1]]]").echo, Some("[1]"));
        assert_eq!(
            Markers::read(r#"[[echo={"a":[1,2]}]]"#).echo,
            Some(r#"{"a":[1,2]}"#)
        );
    }

    #[test]
    fn quoted_text_carries_no_marker() {
        assert_eq!(without_markers("say [[drop]]hi [[x]]"), "say  hi  ");
        assert_eq!(without_markers("[[drop"), "[[drop");
    }
}
