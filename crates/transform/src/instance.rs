use crate::{
    config::Limits,
    contract::{Bindings, Info, WirePlan, table_to_wire},
    failure::{Failure, tame, trap_text},
    host::Host,
    plugin::Plugin,
    ticker::TICK,
};
use cpu_time::ThreadTime;
use model::TableSchema;
use std::time::Duration;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

/// A living instance of a plugin: one memory, one configuration, used by one thread at a time.
pub(crate) struct Instance {
    host: Host,
    store: Store<State>,
    bindings: Bindings,
    limits: Limits,
}

/// What a call is held to while it runs.
pub(crate) struct State {
    memory_max: usize,
    memory_used: usize,
    memory_denied: bool,
    /// CPU time of this thread at which the call ends.
    deadline: Duration,
    timed_out: bool,
}

/// More than any compiler asks for.
const TABLE_ELEMENTS_MAX: usize = 10_000;

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let after = self.memory_used.saturating_sub(current).saturating_add(desired);
        let granted = after <= self.memory_max;
        if granted {
            self.memory_used = after;
        } else {
            self.memory_denied = true;
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        4
    }
}

impl Instance {
    /// A fresh instance without configuration.
    pub(crate) fn new(plugin: &Plugin, limits: Limits) -> Result<Self, Failure> {
        let host = plugin.host().clone();
        let state = State {
            memory_max: limits.memory_max,
            memory_used: 0,
            memory_denied: false,
            deadline: Duration::ZERO,
            timed_out: false,
        };
        let mut store = Store::new(host.engine(), state);
        store.limiter(|state| state);
        store.epoch_deadline_callback(|mut context| {
            let state = context.data_mut();
            let used = ThreadTime::now().as_duration();
            if used >= state.deadline {
                state.timed_out = true;
                return Ok(UpdateDeadline::Interrupt);
            }
            // Only CPU time counts: a busy machine must not turn good rows into dead letters.
            Ok(UpdateDeadline::Continue(ticks(state.deadline.saturating_sub(used))))
        });
        arm(&mut store, limits.setup_max());
        let bindings = {
            let _running = host.ticker().running();
            plugin.code().instantiate(&mut store)
        };
        match bindings {
            Ok(bindings) => Ok(Self { host, store, bindings, limits }),
            Err(error) => Err(failure(&store, limits.setup_max(), &error)),
        }
    }

    /// What the plugin says of itself.
    pub(crate) fn describe(&mut self) -> Result<Info, Failure> {
        self.call(self.limits.setup_max(), |bindings, store| bindings.lakebox_transform_plugin().call_describe(store))
    }

    /// Gives the configuration, as JSON.
    pub(crate) fn configure(&mut self, config: &str) -> Result<(), Failure> {
        self.call(self.limits.setup_max(), |bindings, store| bindings.lakebox_transform_plugin().call_configure(store, config))?
            .map_err(|text| Failure::Refused(tame(&text)))
    }

    /// Tells a shape of table by the number that batches will name.
    pub(crate) fn schema(&mut self, shape: u32, table: &TableSchema) -> Result<WirePlan, Failure> {
        let table = table_to_wire(table);
        self.call(self.limits.setup_max(), |bindings, store| {
            bindings.lakebox_transform_plugin().call_schema(store, shape, &table)
        })?
        .map_err(|text| Failure::Refused(tame(&text)))
    }

    /// Hands over one packed batch and takes the packed answer, at most `limit` of CPU time later.
    pub(crate) fn transform(&mut self, batch: &[u8], limit: Duration) -> Result<Vec<u8>, Failure> {
        self.call(limit, |bindings, store| bindings.lakebox_transform_plugin().call_transform(store, batch))?
            .map_err(|text| Failure::Refused(tame(&text)))
    }

    fn call<T>(
        &mut self,
        limit: Duration,
        work: impl FnOnce(&Bindings, &mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        arm(&mut self.store, limit);
        let _running = self.host.ticker().running();
        work(&self.bindings, &mut self.store).map_err(|error| failure(&self.store, limit, &error))
    }
}

fn arm(store: &mut Store<State>, limit: Duration) {
    let state = store.data_mut();
    state.deadline = ThreadTime::now().as_duration() + limit;
    state.timed_out = false;
    state.memory_denied = false;
    store.set_epoch_deadline(ticks(limit));
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX / 2).max(1)
}

fn failure(store: &Store<State>, limit: Duration, error: &wasmtime::Error) -> Failure {
    let state = store.data();
    if state.timed_out {
        Failure::TimedOut(limit)
    } else if state.memory_denied {
        Failure::OutOfMemory(state.memory_max)
    } else {
        Failure::Trapped(trap_text(error))
    }
}
