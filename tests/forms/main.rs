//! The forms of training, from the text of a program to the numbers that it trains: what is frozen, what is moved by
//! which optimizer, what is loaded, what is averaged. Everything runs on the target `cpu`.

mod freeze;
mod gradients;
mod groups;
mod lists;
mod loading;
mod other_tasks;
mod over_data;
mod repeats;
mod selections_as_values;
mod settings;
mod several_losses;
mod support;

use support::good;

#[test]
fn a_member_that_only_a_size_mentions_is_used() {
    good(
        "model Net() {
  side  = 28 / 4
  rows  = side * side
  param places: f32[rows + 1, D] = normal
  forward(x: f32[B, 7, D]) -> f32[B, 7, D] { x + places[0:7] }
}",
    );
}
