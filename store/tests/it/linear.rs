//! Whether a history of concurrent calls is linearizable: whether each may have taken effect at one moment between call and
//! answer, such that every answer is what a model gives. Wing's and Gong's search with Lowe's memory of where it has been.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

/// What the calls are made to.
pub(crate) trait Model {
    type State: Clone + Eq + Hash;
    type Call;
    type Answer;

    /// The state after the call, if it may be answered like that; with no answer heard, if it may have an effect.
    fn step(
        state: &Self::State,
        call: &Self::Call,
        answer: Option<&Self::Answer>,
    ) -> Option<Self::State>;
}

#[derive(Debug, Clone)]
pub(crate) struct Operation<C, A> {
    pub(crate) call: C,
    /// Since the history began.
    pub(crate) called_at: Duration,
    /// `None` when none came: it takes effect at any time from its call on, or never.
    pub(crate) answer: Option<(A, Duration)>,
}

/// Why there is no order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Disorder {
    /// Each order ends somewhere; the longest has these operations, in this order.
    Impossible(Vec<usize>),
    /// The search was given up.
    Undecided,
}

impl fmt::Display for Disorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible(longest) => write!(f, "no order of more than {}", longest.len()),
            Self::Undecided => write!(f, "no order found in {MOST_STEPS} steps"),
        }
    }
}

const MOST_STEPS: usize = 300_000;

struct Frame<S> {
    state: S,
    /// What led here; the first has nothing.
    took: Option<usize>,
    choices: Vec<usize>,
}

/// An order in which the operations may have taken effect: all that were answered, and some that were not.
pub(crate) fn order<M: Model>(
    first: M::State,
    history: &[Operation<M::Call, M::Answer>],
) -> Result<Vec<usize>, Disorder> {
    let mut by_call: Vec<usize> = (0..history.len()).collect();
    by_call.sort_by_key(|index| history[*index].called_at);
    let is_answered = |index: &usize| history[*index].answer.is_some();
    let (answered, unanswered) = by_call.into_iter().partition::<Vec<_>, _>(is_answered);
    let mut search = Search::<M> {
        history,
        taken: vec![0; history.len().div_ceil(64)],
        left: answered.len(),
        answered,
        unanswered,
        low: 0,
        been: HashSet::new(),
        longest: Vec::new(),
    };
    search.run(first)
}

struct Search<'a, M: Model> {
    history: &'a [Operation<M::Call, M::Answer>],
    /// A bit for each operation.
    taken: Vec<u64>,
    /// In the order of their calls.
    answered: Vec<usize>,
    unanswered: Vec<usize>,
    /// Those that were answered are taken up to here, at least.
    low: usize,
    /// How many of them are not taken yet.
    left: usize,
    been: HashSet<(Vec<u64>, M::State)>,
    longest: Vec<usize>,
}

impl<M: Model> Search<'_, M> {
    fn run(&mut self, first: M::State) -> Result<Vec<usize>, Disorder> {
        let mut frames = vec![Frame {
            state: first,
            took: None,
            choices: self.choices(),
        }];
        while let Some(frame) = frames.last_mut() {
            if self.left == 0 {
                return Ok(frames.iter().filter_map(|frame| frame.took).collect());
            }
            let Some(choice) = frame.choices.pop() else {
                if let Some(took) = frame.took {
                    self.turn(took);
                }
                frames.pop();
                continue;
            };
            let operation = &self.history[choice];
            let answer = operation.answer.as_ref().map(|(answer, _)| answer);
            let Some(state) = M::step(&frame.state, &operation.call, answer) else {
                continue;
            };
            self.turn(choice);
            if !self.been.insert((self.taken.clone(), state.clone())) {
                self.turn(choice);
                continue;
            }
            if self.been.len() > MOST_STEPS {
                return Err(Disorder::Undecided);
            }
            frames.push(Frame {
                state,
                took: Some(choice),
                choices: self.choices(),
            });
            if frames.len() > self.longest.len() + 1 {
                self.longest = frames.iter().filter_map(|frame| frame.took).collect();
            }
        }
        Err(Disorder::Impossible(std::mem::take(&mut self.longest)))
    }

    /// Takes the operation, or puts it back.
    fn turn(&mut self, index: usize) {
        self.taken[index / 64] ^= 1 << (index % 64);
        if self.history[index].answer.is_some() {
            match self.is_taken(index) {
                true => self.left -= 1,
                false => {
                    self.left += 1;
                    self.low = 0;
                }
            }
        }
    }

    fn is_taken(&self, index: usize) -> bool {
        self.taken[index / 64] & (1 << (index % 64)) != 0
    }

    /// What may come next: whatever was called before the first of the others was answered. The last is tried first: those
    /// that were answered, the earliest of them first.
    fn choices(&mut self) -> Vec<usize> {
        while self
            .answered
            .get(self.low)
            .is_some_and(|index| self.is_taken(*index))
        {
            self.low += 1;
        }
        let (mut bound, mut choices) = (Duration::MAX, Vec::new());
        for index in &self.answered[self.low..] {
            let operation = &self.history[*index];
            if operation.called_at > bound {
                break;
            }
            if let Some((_, at)) = operation.answer.as_ref().filter(|_| !self.is_taken(*index)) {
                bound = bound.min(*at);
                choices.push((*at, *index));
            }
        }
        choices.retain(|(_, index)| self.history[*index].called_at <= bound);
        choices.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let unanswered = self.unanswered.iter().copied();
        let called = unanswered.take_while(|index| self.history[*index].called_at <= bound);
        called
            .filter(|index| !self.is_taken(*index))
            .chain(choices.iter().map(|(_, index)| *index))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One number.
    struct Register;

    #[derive(Debug, Clone)]
    enum Do {
        Write(u8),
        Read,
        /// From, to; answers with 1 if it was so.
        Swap(u8, u8),
    }

    impl Model for Register {
        type State = u8;
        type Call = Do;
        type Answer = u8;

        fn step(state: &u8, call: &Do, answer: Option<&u8>) -> Option<u8> {
            let (next, answers) = match call {
                Do::Write(value) => (*value, 0),
                Do::Read => (*state, *state),
                Do::Swap(from, to) if from == state => (*to, 1),
                Do::Swap(..) => (*state, 0),
            };
            answer
                .is_none_or(|answer| *answer == answers)
                .then_some(next)
        }
    }

    fn did(call: Do, called: u64, answer: u8, answered: u64) -> Operation<Do, u8> {
        Operation {
            call,
            called_at: Duration::from_secs(called),
            answer: Some((answer, Duration::from_secs(answered))),
        }
    }

    fn unheard(call: Do, called: u64) -> Operation<Do, u8> {
        Operation {
            call,
            called_at: Duration::from_secs(called),
            answer: None,
        }
    }

    fn is_linearizable(history: &[Operation<Do, u8>]) -> bool {
        match order::<Register>(0, history) {
            Ok(_) => true,
            Err(Disorder::Impossible(_)) => false,
            Err(Disorder::Undecided) => panic!("undecided"),
        }
    }

    #[test]
    fn one_after_the_other_each_reads_what_was_written_last() {
        let good = [did(Do::Write(1), 0, 0, 1), did(Do::Read, 2, 1, 3)];
        assert!(is_linearizable(&good));
        let stale = [did(Do::Write(1), 0, 0, 1), did(Do::Read, 2, 0, 3)];
        assert!(!is_linearizable(&stale));
    }

    #[test]
    fn what_overlaps_may_be_in_either_order() {
        for seen in [0, 1] {
            assert!(is_linearizable(&[
                did(Do::Write(1), 0, 0, 9),
                did(Do::Read, 1, seen, 2),
            ]));
        }
    }

    #[test]
    fn nobody_reads_the_old_after_somebody_has_read_the_new() {
        assert!(!is_linearizable(&[
            did(Do::Write(1), 0, 0, 9),
            did(Do::Read, 1, 1, 2),
            did(Do::Read, 3, 0, 4),
        ]));
    }

    #[test]
    fn one_value_is_swapped_once() {
        assert!(!is_linearizable(&[
            did(Do::Swap(0, 1), 0, 1, 9),
            did(Do::Swap(0, 2), 0, 1, 9),
        ]));
        assert!(is_linearizable(&[
            did(Do::Swap(0, 1), 0, 1, 9),
            did(Do::Swap(0, 2), 0, 0, 9),
        ]));
    }

    #[test]
    fn what_was_not_answered_may_happen_late_or_never_and_not_early() {
        let late = [
            unheard(Do::Write(1), 0),
            did(Do::Read, 1, 0, 2),
            did(Do::Read, 3, 1, 4),
        ];
        assert!(is_linearizable(&late));
        assert!(is_linearizable(&late[..2]));
        assert!(!is_linearizable(&[
            did(Do::Read, 1, 1, 2),
            unheard(Do::Write(1), 3),
        ]));
    }

    #[test]
    fn a_wrong_turn_is_taken_back() {
        // Whoever takes the swap that nobody heard of first cannot explain the other.
        assert!(is_linearizable(&[
            unheard(Do::Swap(0, 1), 0),
            unheard(Do::Write(3), 0),
            did(Do::Swap(0, 2), 0, 1, 5),
            did(Do::Read, 6, 3, 7),
        ]));
    }

    #[test]
    fn the_order_explains_the_answers() {
        let history = [
            did(Do::Read, 0, 2, 9),
            did(Do::Write(1), 0, 0, 9),
            did(Do::Swap(1, 2), 0, 1, 9),
        ];
        assert_eq!(order::<Register>(0, &history), Ok(vec![1, 2, 0]));
    }
}
