//! Measured figures of two servers, per round.

use crate::Result;

/// A value for the baseline server (Redis) and one for the server under test (`kv`).
#[derive(Clone, Copy)]
pub(crate) struct Pair<T> {
    pub(crate) baseline: T,
    pub(crate) subject: T,
}

impl<T> Pair<T> {
    pub(crate) fn as_ref(&self) -> Pair<&T> {
        Pair { baseline: &self.baseline, subject: &self.subject }
    }

    pub(crate) fn map<'a, U>(&'a self, mut f: impl FnMut(&'a T) -> U) -> Pair<U> {
        Pair { baseline: f(&self.baseline), subject: f(&self.subject) }
    }

    pub(crate) fn try_map<U>(&self, mut f: impl FnMut(&T) -> Result<U>) -> Result<Pair<U>> {
        Ok(Pair { baseline: f(&self.baseline)?, subject: f(&self.subject)? })
    }
}

/// A line of the table. For figures with a target, lower is better.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Pair<f64>>,
    pub(crate) decimals: usize,
    pub(crate) target: Option<Limit>,
}

/// The maximum of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// Relative to the figure of a foreign server, such as Redis.
    Ratio(f64),
    /// Relative to the figure of another program of this workspace.
    OwnRatio(f64),
    /// Absolute.
    Value(f64),
}

impl Figure {
    pub(crate) fn medians(&self) -> Pair<f64> {
        let median_of = |read: fn(&Pair<f64>) -> f64| median(self.rounds.iter().map(read).collect());
        Pair { baseline: median_of(|round| round.baseline), subject: median_of(|round| round.subject) }
    }

    /// Returns the ratio of each round, in ascending order.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        sorted(self.rounds.iter().map(|round| round.subject / round.baseline).collect())
    }

    /// Returns the limit, and whether the figure meets it.
    pub(crate) fn verdict(&self) -> Option<(f64, bool)> {
        self.target.map(|target| match target {
            Limit::Ratio(limit) | Limit::OwnRatio(limit) => (limit, median(self.ratios()) <= limit),
            Limit::Value(limit) => (limit, self.medians().subject <= limit),
        })
    }
}

/// Returns the middle value, or the mean of the two middle values.
pub(crate) fn median(values: Vec<f64>) -> f64 {
    let values = sorted(values);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(rounds: &[(f64, f64)], target: Limit) -> Figure {
        let rounds = rounds.iter().map(|&(baseline, subject)| Pair { baseline, subject }).collect();
        Figure { name: String::new(), rounds, decimals: 0, target: Some(target) }
    }

    #[test]
    fn median_of_odd_even_and_no_values() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn ratios_are_computed_per_round() {
        let drifting = figure(&[(100.0, 50.0), (200.0, 100.0), (400.0, 240.0)], Limit::Ratio(0.5));
        assert_eq!(drifting.ratios(), [0.5, 0.5, 0.6]);
        assert_eq!(drifting.verdict(), Some((0.5, true)));
    }

    #[test]
    fn an_absolute_limit_ignores_the_baseline() {
        assert_eq!(figure(&[(9.0, 1.1)], Limit::Value(1.0)).verdict(), Some((1.0, false)));
    }
}
