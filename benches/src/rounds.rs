//! Rounds in which all arms run in turn, and what is made of them.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// One figure per round.
#[derive(Debug, Clone, Default)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// The figures in any order.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// The figure that the given share of all does not exceed; NaN when there is none.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        self.0.get(place).copied().unwrap_or(f64::NAN)
    }

    /// The same in another unit.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self::of(self.0.iter().map(|figure| figure * factor))
    }

    /// The figure in the middle.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// The smallest.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.at(0.0)
    }

    /// The largest.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.at(1.0)
    }
}

/// One arm's figures, in the order of the rounds.
#[derive(Debug, Clone, Default)]
pub struct Arm(Vec<f64>);

impl Arm {
    /// Adds the next round's figure.
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// All figures by themselves.
    #[must_use]
    pub fn spread(&self) -> Spread {
        Spread::of(self.0.iter().copied())
    }

    /// This arm over another, round by round.
    #[must_use]
    pub fn over(&self, floor: &Self) -> Spread {
        Spread::of(self.0.iter().zip(&floor.0).map(|(arm, floor)| arm / floor))
    }

    /// What this arm takes beyond another, per each of `count`.
    #[must_use]
    pub fn beyond(&self, floor: &Self, count: f64) -> Spread {
        Spread::of(
            self.0
                .iter()
                .zip(&floor.0)
                .map(|(arm, floor)| (arm - floor) / count),
        )
    }
}

/// Something that is measured once per round.
pub type Measure<'a> = &'a mut dyn FnMut() -> Result<f64>;

/// Runs all arms once per round, each round beginning with the next of them, after one round that does not
/// count.
///
/// # Errors
/// Those of the arms.
pub fn interleave<const N: usize>(rounds: usize, mut arms: [Measure<'_>; N]) -> Result<[Arm; N]> {
    let mut figures: [Arm; N] = std::array::from_fn(|_| Arm::default());
    for round in 0..=rounds {
        for turn in 0..N {
            let arm = (round + turn) % N;
            if let (Some(measure), Some(figures)) = (arms.get_mut(arm), figures.get_mut(arm)) {
                let figure = measure()?;
                if round > 0 {
                    figures.push(figure);
                }
            }
        }
    }
    Ok(figures)
}

/// Mean time of `count` calls, in seconds.
///
/// # Errors
/// Those of `call`.
pub fn mean(count: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    for _ in 0..count {
        call()?;
    }
    Ok(started.elapsed().as_secs_f64() / count as f64)
}

/// Mean time that the thread was on a processor in `count` calls, in seconds. For work that waits for nothing:
/// it does not see the time that the machine gave to others.
///
/// # Errors
/// Those of `call`.
pub fn mean_on_cpu(count: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let started = on_cpu();
    for _ in 0..count {
        call()?;
    }
    Ok((on_cpu() - started) / count as f64)
}

fn on_cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Median time of `count` calls, in seconds.
///
/// # Errors
/// Those of `call`.
pub fn median(count: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        call()?;
        times.push(started.elapsed().as_secs_f64());
    }
    Ok(Spread::of(times).median())
}

/// Time of one call, in seconds, and what it gave.
///
/// # Errors
/// Those of `call`.
pub fn once<T>(call: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let started = Instant::now();
    let given = call()?;
    Ok((started.elapsed().as_secs_f64(), given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let (mut slow, mut fast) = (Arm::default(), Arm::default());
        for (s, f) in [(20.0, 10.0), (300.0, 100.0), (8.0, 2.0)] {
            slow.push(s);
            fast.push(f);
        }
        let ratios = slow.over(&fast);
        assert_eq!(
            (ratios.min(), ratios.median(), ratios.max()),
            (2.0, 3.0, 4.0)
        );
    }

    #[test]
    fn every_arm_runs_in_every_round_and_the_first_does_not_count() {
        let (mut a, mut b) = (0.0, 100.0);
        let mut first = || {
            a += 1.0;
            Ok(a)
        };
        let mut second = || {
            b += 1.0;
            Ok(b)
        };
        let [one, two] = interleave(3, [&mut first, &mut second]).unwrap();
        assert_eq!((one.spread().min(), one.spread().max()), (2.0, 4.0));
        assert_eq!((two.spread().min(), two.spread().max()), (102.0, 104.0));
    }
}
