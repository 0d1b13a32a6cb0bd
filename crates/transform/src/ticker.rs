use parking_lot::{Condvar, Mutex};
use std::{sync::Arc, thread::JoinHandle, time::Duration};
use wasmtime::{Engine, EngineWeak};

/// How often a running plugin is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The thread that makes running plugins look at their deadline. It sleeps while none runs.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    stop: bool,
}

/// While this lives, the ticker ticks.
pub(crate) struct Running<'a>(&'a Shared);

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (engine, seen) = (engine.weak(), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("plugin ticker".into()).spawn(move || tick(&engine, &seen))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.state.lock().running += 1;
        self.shared.changed.notify_one();
        Running(&self.shared)
    }
}

fn tick(engine: &EngineWeak, shared: &Shared) {
    let mut state = shared.state.lock();
    while !state.stop {
        if state.running == 0 {
            shared.changed.wait(&mut state);
        } else {
            // Woken early it ticks early, which only makes plugins look at their deadline sooner.
            shared.changed.wait_for(&mut state, TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It can't have panicked in a way that matters to us: all it does is count.
            let _ = thread.join();
        }
    }
}
