use parking_lot::Mutex;
use pipeline::{Error, Kind};
use runtime::SharedClock;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Where a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// `Sink::open`.
    SinkOpen,
    /// `Sink::schema`.
    Schema,
    /// `Sink::reset`.
    Reset,
    /// `Sink::write`.
    Write,
    /// `Sink::dead`.
    Dead,
    /// `Sink::boundary`.
    Boundary,
    /// The call of `Sink::commit`; it can't wait, so [`Fault::Hold`] and [`Fault::Slow`] strike at [`Step::Durable`] instead.
    Commit,
    /// The commit ticket: the moment when the group becomes durable.
    Durable,
    /// `Source::open`.
    SourceOpen,
    /// `Source::next`.
    Next,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing is done, an error of this kind comes back.
    Refuse(Kind),
    /// The thing is done in full, and yet an error of this kind comes back.
    DoThenFail(Kind),
    /// Nothing happens until the gate opens, then the thing is done.
    Hold(Gate),
    /// The thing is done after this time on the double's clock.
    Slow(Duration),
}

/// Holds calls until a test lets them go. Clones are one gate.
#[derive(Debug, Clone)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    reached: Arc<watch::Sender<usize>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: Arc::new(watch::Sender::new(false)), reached: Arc::new(watch::Sender::new(0)) }
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everything pass from now on.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// Waits until somebody stands before the gate (or has passed it).
    pub async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        // The sender lives in self, so waiting can't fail.
        let _ = reached.wait_for(|n| *n > 0).await;
    }

    pub(crate) async fn pass(&self) {
        self.reached.send_modify(|n| *n += 1);
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }
}

/// Which faults strike at which call. Calls are counted from 1 over the whole life of the double's shared state, restarts included;
/// each fault strikes once. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct FaultScript {
    state: Arc<Mutex<ScriptState>>,
}

#[derive(Debug, Default)]
struct ScriptState {
    calls: HashMap<Step, usize>,
    planned: Vec<(Step, usize, Fault)>,
}

impl FaultScript {
    /// A script without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault at the `nth` call (from 1) of `step`.
    #[must_use]
    pub fn on(self, step: Step, nth: usize, fault: Fault) -> Self {
        self.state.lock().planned.push((step, nth, fault));
        self
    }

    /// Plans a fault for the next call of `step`, whenever that is.
    pub fn next(&self, step: Step, fault: Fault) {
        let mut state = self.state.lock();
        let nth = state.calls.get(&step).copied().unwrap_or(0) + 1;
        state.planned.push((step, nth, fault));
    }

    /// How often `step` was reached.
    pub fn calls(&self, step: Step) -> usize {
        self.state.lock().calls.get(&step).copied().unwrap_or(0)
    }

    /// Counts a call and takes its fault.
    pub(crate) fn strike(&self, step: Step) -> Option<Fault> {
        let mut state = self.state.lock();
        let calls = state.calls.entry(step).or_default();
        *calls += 1;
        let nth = *calls;
        let at = state.planned.iter().position(|(s, n, _)| *s == step && *n == nth)?;
        Some(state.planned.swap_remove(at).2)
    }
}

/// Lives through the part of a fault that comes before the deed: refuses, holds or delays. Returns the error that is to follow the deed.
pub(crate) async fn before(step: Step, fault: Option<Fault>, clock: Option<&SharedClock>) -> Result<Option<Error>, Error> {
    match fault {
        None => Ok(None),
        Some(Fault::Refuse(kind)) => Err(scripted(step, kind)),
        Some(Fault::DoThenFail(kind)) => Ok(Some(scripted(step, kind))),
        Some(Fault::Hold(gate)) => {
            gate.pass().await;
            Ok(None)
        }
        Some(Fault::Slow(delay)) => {
            match clock {
                Some(clock) => clock.sleep(delay).await,
                None => tokio::time::sleep(delay).await,
            }
            Ok(None)
        }
    }
}

pub(crate) fn scripted(step: Step, kind: Kind) -> Error {
    Error::new(kind, format!("the script makes {step:?} fail as {}", kind.code()))
}
