//! The reported token counts of answers.

use super::markers::Markers;

/// Billed token counts, independent of the dialect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// All input, cached included.
    pub(super) input: u32,
    /// The part of the input that was read from a cache.
    pub(super) cached: u32,
    /// All output, reasoning included.
    pub(super) output: u32,
    /// The part of the output that is reasoning.
    pub(super) reasoning: u32,
}

impl Usage {
    /// The counts of the markers; without them, a quarter of the characters sent and answered, plus cached
    /// and reasoning tokens.
    pub(super) fn estimate(markers: &Markers<'_>, prompt: &str, answer: &str) -> Self {
        let (cached, reasoning) = (markers.cached, markers.reasoning);
        if let Some((input, output)) = markers.tokens {
            return Self {
                input,
                cached: cached.min(input),
                output,
                reasoning: reasoning.min(output),
            };
        }
        Self {
            input: quarter(prompt).max(1).saturating_add(cached),
            cached,
            output: quarter(answer).saturating_add(reasoning),
            reasoning,
        }
    }

    /// Input and output together.
    pub(super) fn total(self) -> u64 {
        u64::from(self.input) + u64::from(self.output)
    }
}

fn quarter(text: &str) -> u32 {
    u32::try_from(text.chars().count() / 4).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_from_the_text_unless_they_are_told() {
        let usage = Usage::estimate(&Markers::default(), "hi", "eight ch");
        assert_eq!(
            usage,
            Usage {
                input: 1,
                cached: 0,
                output: 2,
                reasoning: 0
            }
        );

        let told = Markers::read("[[tokens=100,20]] [[cached=400]] [[reasoning=5]]");
        let usage = Usage::estimate(&told, "x", "y");
        assert_eq!(
            usage,
            Usage {
                input: 100,
                cached: 100,
                output: 20,
                reasoning: 5
            }
        );

        let added = Markers::read("[[cached=400]] [[reasoning=5]]");
        let usage = Usage::estimate(&added, "12345678", "1234");
        assert_eq!(
            usage,
            Usage {
                input: 402,
                cached: 400,
                output: 6,
                reasoning: 5
            }
        );
    }
}
