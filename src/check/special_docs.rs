//! What the functions that the checker evaluates are, for people.

/// One such function.
pub struct Special {
    pub name: &'static str,
    /// Markdown.
    pub doc: &'static str,
}

impl Special {
    /// `split(x, parts, axis = none)`
    pub fn signature(&self) -> String {
        let params: Vec<String> = super::special::params(self.name)
            .iter()
            .map(|(name, required)| if *required { name.to_string() } else { format!("{name} = none") })
            .collect();
        format!("{}({})", self.name, params.join(", "))
    }
}

/// Every one, sorted.
pub const SPECIALS: &[Special] = &[
    Special {
        name: "along",
        doc: "A list of numbers as a tensor that lies along one axis of `x`, so that it stretches over the others.",
    },
    Special { name: "bpe", doc: "A tokenizer of byte pairs, from the files of a published vocabulary." },
    Special { name: "characters", doc: "A tokenizer whose tokens are the characters of the training part." },
    Special {
        name: "conv3d",
        doc: "Cross-correlation over the last three axes of `x`, `[batch, channels, depth, height, width]`.",
    },
    Special {
        name: "einsum",
        doc: "A sum of products over named axes: `einsum(\"b i d, b j d -> b i j\", q, k)`. An axis that the result does not \
              name is summed over; sizes of one name must agree.",
    },
    Special {
        name: "expect",
        doc: "In a local with a type, `y: f32[B, 12] = expect(x)`: sizes that are neither the same nor different for sure are \
              taken to be the declared ones, and compared when they become numbers.",
    },
    Special {
        name: "figure",
        doc: "What the last validation found: a figure by its name, `figure(\"accuracy\")`, else the loss; 0 before the first.",
    },
    Special { name: "flip", doc: "The elements along `axis` in reverse order." },
    Special { name: "floor_div", doc: "`a / b` rounded towards minus infinity, of whole numbers or whole tensors." },
    Special { name: "full", doc: "A tensor of this shape with `value` everywhere." },
    Special { name: "grad", doc: "The gradient of the scalar `y` by `by`, as a value of its own shape." },
    Special { name: "keep", doc: "A reduced value with the axes that were reduced in `x` put back, of size 1." },
    Special { name: "len", doc: "How many elements a list has." },
    Special { name: "ones", doc: "A tensor of this shape with 1 everywhere, of the dtype of `like`, else f32." },
    Special { name: "ones_like", doc: "A tensor with the shape and dtype of `x` and 1 everywhere." },
    Special { name: "other_axes", doc: "The axes of `x` that are not in the list." },
    Special {
        name: "pad",
        doc: "Adds elements before and after each axis: a constant, or a repetition of what is there.",
    },
    Special { name: "pair", doc: "`3` as `[3, 3]`; a list of two stays." },
    Special { name: "product", doc: "The product of a list of whole numbers." },
    Special { name: "random", doc: "Numbers drawn evenly from 0..1, keyed by the seed, this place and the step." },
    Special { name: "random_int", doc: "Whole numbers drawn evenly from a range, keyed like `random`." },
    Special { name: "random_like", doc: "`random` with the shape of `x`." },
    Special { name: "rank", doc: "How many axes `x` has." },
    Special {
        name: "rearrange",
        doc: "Splits, merges and reorders axes by a pattern: `rearrange(x, \"b t (h d) -> b h t d\", h: 8)`.",
    },
    Special { name: "repeat_each", doc: "Each element along `axis`, several times in a row." },
    Special { name: "rescale", doc: "Numbers of one range moved to another: `rescale(x, 0..1, to: -1..1)`." },
    Special {
        name: "roll",
        doc: "The elements along `axis` moved on by a number of places; what falls off comes in again.",
    },
    Special {
        name: "samples_of",
        doc: "A length of time (`25 ms`, `0.5 s`; a plain number is one of samples) as a whole number of samples, of which \
              `rate` are a second.",
    },
    Special { name: "scatter", doc: "`x` with the elements at `index` along `axis` replaced." },
    Special { name: "scatter_add", doc: "`x` with the elements at `index` along `axis` added to." },
    Special { name: "single", doc: "`3` as `[3]`; a list of one stays." },
    Special { name: "size", doc: "How many elements `x` has along `axis`, or in all; known while compiling." },
    Special { name: "sort", doc: "The elements along `axis` in order, and where each came from." },
    Special { name: "split", doc: "A tuple of equal parts along `axis`, the last if none is given." },
    Special { name: "stack", doc: "Tensors of one shape side by side along a new axis." },
    Special { name: "steps_of", doc: "A length of time (`2 epochs`, `100 steps`) as a number of steps." },
    Special { name: "take_along", doc: "The elements at `index` along `axis`, one for each place of `index`." },
    Special { name: "tensor", doc: "A list of numbers as a tensor." },
    Special { name: "tile", doc: "The whole of `x` several times along each axis." },
    Special {
        name: "tokens",
        doc: "The numbers of a text's tokens: cut to `max`, with a start and an end mark if asked for.",
    },
    Special {
        name: "top_k",
        doc: "The largest elements along the last axis, and where they are: `.values`, `.indices`.",
    },
    Special { name: "triple", doc: "`3` as `[3, 3, 3]`; a list of three stays." },
    Special { name: "unfold", doc: "Every window of `x` along its last axes, side by side." },
    Special { name: "vector", doc: "A list of numbers as a tensor of one axis." },
    Special { name: "where", doc: "`a` where the condition holds, `b` elsewhere, element by element." },
    Special { name: "wordpiece", doc: "A tokenizer of word pieces, from the file of a published vocabulary." },
    Special { name: "words", doc: "A tokenizer whose tokens are the most frequent words of the training part." },
    Special { name: "zeros", doc: "A tensor of this shape with 0 everywhere, of the dtype of `like`, else f32." },
    Special { name: "zeros_like", doc: "A tensor with the shape and dtype of `x` and 0 everywhere." },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_documented() {
        let documented: Vec<&str> = SPECIALS.iter().map(|s| s.name).collect();
        assert_eq!(documented, super::super::special::NAMES);
    }
}
