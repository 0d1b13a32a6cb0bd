use crate::{dice::Dice, plan::STEPS};

/// When each step of a life comes, in thousandths of a life.
const DELAYS: [i64; STEPS] = [0, 10, 30, 60, 90, 95, 140, 180, 200, 300, 380, 400, 500, 580, 600, 700, 800, 950];

/// Which customer takes which step in which transaction.
///
/// Round `r` consists of [`STEPS`] transactions, one for each step, in an order of its own. Step `j` is taken by customer
/// `r - delay(j) + population`. So each customer takes all steps in order, and at round zero the customers below `population` are at all
/// stages of their lives. Numbers below zero are history, which happened before the first transaction.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    population: i64,
    delays: [i64; STEPS],
    /// Round `r` takes the steps in order `r % ORDERS`.
    orders: Vec<Order>,
}

/// An order of the steps of a round, both ways.
#[derive(Debug, Clone, Copy)]
struct Order {
    steps: [usize; STEPS],
    places: [usize; STEPS],
}

/// How many different orders there are.
const ORDERS: i64 = 997;

/// How far everyone has got after a number of transactions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    round: i64,
    nth: usize,
    /// Where in the current round each step stands.
    places: [usize; STEPS],
}

const ROUND: i64 = STEPS as i64;

impl Schedule {
    pub(crate) fn new(seed: u64, population: u32) -> Self {
        let population = i64::from(population);
        let mut delays = DELAYS.map(|share| share * population / 1000);
        for j in 1..STEPS {
            // Two steps of one customer never share a round.
            delays[j] = delays[j].max(delays[j - 1] + 1);
        }
        Self { population, delays, orders: (0..ORDERS).map(|number| Order::new(seed, number)).collect() }
    }

    /// Transactions before number zero.
    pub(crate) fn history(&self) -> i64 {
        self.population * ROUND
    }

    /// Transactions in a simulated day: a tenth of a life.
    pub(crate) fn day(&self) -> i64 {
        (self.population * ROUND / 10).max(1)
    }

    /// Customer and step of transaction `n`.
    pub(crate) fn at(&self, n: i64) -> (i64, usize) {
        let (round, nth) = split(n);
        let step = self.order(round).steps[nth];
        (round - self.delays[step] + self.population, step)
    }

    /// The transaction in which customer `c` takes `step`; negative for history.
    pub(crate) fn number(&self, c: i64, step: usize) -> i64 {
        let round = c + self.delays[step] - self.population;
        round * ROUND + self.order(round).places[step] as i64
    }

    /// How far everyone is once the first `n` transactions have happened.
    pub(crate) fn after(&self, n: i64) -> Moment {
        let (round, nth) = split(n);
        let places = self.order(round).places;
        Moment { round, nth, places }
    }

    /// How many customers have taken `step`: these are the customers below this number.
    pub(crate) fn taken(&self, moment: &Moment, step: usize) -> i64 {
        let this_round = i64::from(moment.places[step] < moment.nth);
        (moment.round - self.delays[step] + self.population + this_round).max(0)
    }

    /// How many steps customer `c` has taken.
    pub(crate) fn steps_of(&self, moment: &Moment, c: i64) -> usize {
        (0..STEPS).take_while(|step| c < self.taken(moment, *step)).count()
    }

    /// How many customers have ever signed up.
    pub(crate) fn customers(&self, moment: &Moment) -> i64 {
        self.taken(moment, 0)
    }

    fn order(&self, round: i64) -> &Order {
        &self.orders[usize::try_from(round.rem_euclid(ORDERS)).unwrap_or(0)]
    }
}

impl Order {
    fn new(seed: u64, number: i64) -> Self {
        let mut dice = Dice::new(seed, 2, number.cast_unsigned());
        let mut steps = std::array::from_fn(|i| i);
        for i in (1..STEPS).rev() {
            let j = usize::try_from(dice.between(0, i as i64)).unwrap_or(0);
            steps.swap(i, j);
        }
        let mut places = [0; STEPS];
        for (place, step) in steps.into_iter().enumerate() {
            places[step] = place;
        }
        Self { steps, places }
    }
}

fn split(n: i64) -> (i64, usize) {
    (n.div_euclid(ROUND), usize::try_from(n.rem_euclid(ROUND)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_steps_determine_each_other() {
        for population in [20, 33, 400] {
            let schedule = Schedule::new(3, population);
            for n in -schedule.history() / 2..3_000 {
                let (c, step) = schedule.at(n);
                if c >= 0 {
                    assert_eq!(schedule.number(c, step), n);
                }
            }
        }
    }

    #[test]
    fn a_moment_counts_exactly_the_steps_that_were_taken() {
        let schedule = Schedule::new(3, 25);
        for n in [0, 1, 17, 18, 500, 501] {
            let moment = schedule.after(n);
            for c in 0..schedule.customers(&moment) + 2 {
                let counted = (0..STEPS).filter(|j| schedule.number(c, *j) < n).count();
                assert_eq!(schedule.steps_of(&moment, c), counted, "customer {c} at {n}");
            }
        }
    }
}
