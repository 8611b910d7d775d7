//! What the settings of tasks mean, in a line each.

/// Name, an example of a value, and what it does.
pub const DOCS: &[(&str, &str, &str)] = &[
    ("accumulate", "4", "Batches of one update: their gradients are averaged."),
    ("batch", "64", "Samples of one step."),
    ("beam", "4", "Texts that grow side by side; 1 is no beam search."),
    ("budget", "4 GiB", "The most memory that a step may take: more is an error before anything runs."),
    ("clip_norm", "1.0", "Gradients are scaled down so that their common norm is at most this."),
    ("clip_value", "0.5", "Each number of the gradients is cut to at most this."),
    ("data", "digits(validate: 0.2)", "Where samples come from: a source, or a `data` item."),
    ("ema", "0.999", "A running average of the parameters with this decay, which evaluation uses."),
    ("epochs", "10", "How often training goes through the data."),
    ("max_tokens", "100", "The most tokens to add."),
    ("optimizer", "AdamW(lr: 1e-3)", "The rule that moves the parameters."),
    ("output", "target", "The field of tokens that grows, where the step takes several."),
    ("precision", "bf16", "What the step computes in, if not as declared; parameters stay in their own float."),
    ("seed", "0", "Where all random numbers come from."),
    ("steps", "1000", "How many steps training takes, instead of `epochs`."),
    ("stop_when", "no_improvement(epochs: 3)", "Ends training early when a figure no longer improves."),
    ("temperature", "0.8", "Scores are divided by it before a token is drawn; 0 takes the most likely one."),
    ("top_k", "40", "Only so many of the most likely tokens are drawn from."),
    ("top_p", "0.9", "Only the most likely tokens that together have this probability are drawn from."),
    ("validate_every", "1 epochs", "How often the samples that are held out are measured."),
];

/// What a setting means, and an example.
pub fn docs(name: &str) -> Option<(&'static str, &'static str)> {
    DOCS.iter().find(|(n, _, _)| *n == name).map(|(_, example, docs)| (*example, *docs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{GENERATE_SETTINGS, SETTINGS};

    #[test]
    fn every_setting_is_explained_and_nothing_else() {
        for name in SETTINGS.iter().chain(GENERATE_SETTINGS) {
            assert!(docs(name).is_some(), "{name}");
        }
        for (name, ..) in DOCS {
            assert!(SETTINGS.contains(name) || GENERATE_SETTINGS.contains(name), "{name}");
        }
    }
}
