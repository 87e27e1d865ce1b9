//! Sums and means of windows. Long windows are added up from blocks, each of which is summed once.

use super::super::float::{Mean, Sum};
use super::{Window, Windowed, count};

/// Samples of a block.
const BLOCK: usize = 64;

/// From this many samples on a window is added up from blocks.
const LONG: usize = 4 * BLOCK;

/// Fills a row from the sum of each window and the window.
pub(super) fn fill(windowed: &Windowed<'_>, row: &mut [f64], finish: impl Fn(Sum, Window<'_>) -> f64) {
    let series = windowed.series;
    let weights = series.weights.as_deref();
    let is_long = windowed.layout.bounds.iter().any(|(first, end)| (end - first) as usize >= LONG);
    let blocks: Vec<Sum> = match is_long {
        true => (0..series.values.len() / BLOCK)
            .map(|block| {
                let range = block * BLOCK..(block + 1) * BLOCK;
                total(&series.values[range.clone()], weights.map(|weights| &weights[range]))
            })
            .collect(),
        false => Vec::new(),
    };
    let bounds = &windowed.layout.bounds;
    windowed.fill(row, |window| {
        if window.values.len() < LONG {
            return finish(total(window.values, window.weights), window);
        }
        let first = bounds[window.step].0 as usize;
        finish(total_of_blocks(window, first, &blocks), window)
    });
}

/// The mean of a window: by its sum, unless that overflows.
pub(super) fn mean(sum: Sum, window: Window<'_>) -> f64 {
    if window.weights.is_some() || !sum.is_infinite() {
        return sum.divided_by(count(window));
    }
    let mut mean = Mean::of(window.values[0]);
    window.values[1..].iter().for_each(|&value| mean.add(value));
    mean.value()
}

fn total(values: &[f64], weights: Option<&[f64]>) -> Sum {
    let mut sum = Sum::default();
    match weights {
        None => values.iter().for_each(|&value| sum.add(value)),
        Some(weights) => values.iter().zip(weights).for_each(|(value, weight)| sum.add(value * weight)),
    }
    sum
}

/// The samples before the first whole block, the blocks, the samples behind the last one.
fn total_of_blocks(window: Window<'_>, first: usize, blocks: &[Sum]) -> Sum {
    let end = first + window.values.len();
    let (first_block, end_block) = (first.div_ceil(BLOCK), end / BLOCK);
    let (head, tail) = (first_block * BLOCK - first, end_block * BLOCK - first);
    let mut sum = total(&window.values[..head], window.weights.map(|weights| &weights[..head]));
    blocks[first_block..end_block].iter().for_each(|block| sum.merge(*block));
    sum.merge(total(&window.values[tail..], window.weights.map(|weights| &weights[tail..])));
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_add_up_to_the_same(
            values in proptest::collection::vec(-1e6..1e6f64, LONG..1000),
            cut in 0..BLOCK * 2,
        ) {
            let blocks: Vec<Sum> = values.chunks_exact(BLOCK).map(|block| total(block, None)).collect();
            let part = &values[cut..];
            let times = vec![model::Timestamp::from_millis(0); part.len()];
            let window = Window { times: &times, values: part, weights: None, step: 0, evaluated_at: 0 };
            let (blocked, plain) = (total_of_blocks(window, cut, &blocks).total(), total(part, None).total());
            prop_assert!((blocked - plain).abs() <= 1e-9 * plain.abs().max(1e-6), "{blocked} {plain}");
        }
    }
}
