//! Running averages of figures over samples: in go each step's figures with the number of its samples, out come the
//! averages. Sums are kept in double precision and written exactly, so that a resumed run has the same averages.

/// Sums of figures, weighted by samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Averages {
    sums: Vec<f64>,
    samples: f64,
    /// Figures that are about all samples already: the last one holds.
    running: Vec<bool>,
}

impl Averages {
    /// So many figures, nothing added yet.
    pub fn new(figures: usize) -> Averages {
        Averages { sums: vec![0.0; figures], samples: 0.0, running: Vec::new() }
    }

    /// Of some figures not the average is kept but the last.
    pub fn with_running(self, running: Vec<bool>) -> Averages {
        Averages { running, ..self }
    }

    fn is_running(&self, i: usize) -> bool {
        self.running.get(i).copied().unwrap_or(false)
    }

    /// Adds what the steps say of `samples` samples. `figure(i)` is the mean over them.
    pub fn add(&mut self, samples: usize, mut figure: impl FnMut(usize) -> f64) {
        for (i, sum) in self.sums.iter_mut().enumerate() {
            match self.running.get(i) {
                Some(true) => *sum = figure(i),
                _ => *sum += figure(i) * samples as f64,
            }
        }
        self.samples += samples as f64;
    }

    /// The average of figure `i`; NaN if nothing was added.
    pub fn get(&self, i: usize) -> f64 {
        match self.is_running(i) && !self.is_empty() {
            true => self.sums[i],
            false => self.sums[i] / self.samples,
        }
    }

    /// The number of figures.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.samples == 0.0
    }

    pub fn clear(&mut self) {
        self.sums.fill(0.0);
        self.samples = 0.0;
    }

    /// As text that gives the same bits back.
    pub fn to_text(&self) -> String {
        let sums: Vec<String> = self.sums.iter().map(|s| format!("{s:?}")).collect();
        format!("{:?} of {}", self.samples, sums.join(" "))
    }

    /// What [`Averages::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Averages> {
        let (samples, sums) = text.split_once(" of ").or_else(|| Some((text.strip_suffix(" of")?, "")))?;
        let sums = sums.split_whitespace().map(|s| s.parse().ok()).collect::<Option<_>>()?;
        Some(Averages { samples: samples.parse().ok()?, sums, running: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_last_batch_weighs_less() {
        let mut averages = Averages::new(1);
        assert!(averages.get(0).is_nan() && averages.is_empty());
        averages.add(64, |_| 1.0);
        averages.add(16, |_| 2.0);
        assert_eq!(averages.get(0), (64.0 + 32.0) / 80.0);
    }

    #[test]
    fn of_a_running_figure_the_last_holds() {
        let mut averages = Averages::new(2).with_running(vec![false, true]);
        averages.add(64, |_| 1.0);
        averages.add(64, |_| 2.0);
        assert_eq!((averages.get(0), averages.get(1)), (1.5, 2.0));
        averages.clear();
        assert!(averages.get(1).is_nan());
    }

    #[test]
    fn text_gives_the_same_bits_back() {
        let mut averages = Averages::new(4);
        let values = [0.1, -1e-300, f64::NEG_INFINITY, 1.0 / 3.0];
        averages.add(3, |i| values[i]);
        assert_eq!(Averages::from_text(&averages.to_text()), Some(averages));
        assert_eq!(Averages::from_text(&Averages::new(0).to_text()), Some(Averages::new(0)));
        assert_eq!(Averages::from_text("1.0 of x"), None);
        assert_eq!(Averages::from_text(""), None);
    }
}
