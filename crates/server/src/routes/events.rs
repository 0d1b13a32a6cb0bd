use crate::{app::App, routes};
use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt, stream};
use std::{convert::Infallible, time::Duration};

const EVERY: Duration = Duration::from_secs(1);

/// What changes, once a second: `overview` (with the newest two throughput points only) and `pipelines`.
#[utoipa::path(get, path = "/api/v1/events", tag = "process", responses((status = 200, description = "server-sent events", body = api::Overview)))]
pub(crate) async fn events(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stopping = app.stopping.clone();
    let ticks = stream::unfold((app, true), |(app, first)| async move {
        if !first {
            app.clock.sleep(EVERY).await;
        }
        let mut overview = routes::overview::overview(&app);
        // The second that still runs, and the last whole one, so that no second stays half told.
        let newest = overview.throughput.len().saturating_sub(2);
        overview.throughput.drain(..newest);
        let pipelines = routes::pipelines::all(&app);
        let events = [named("overview", &overview), named("pipelines", &pipelines)];
        Some((stream::iter(events.into_iter().flatten().map(Ok)), (app, false)))
    });
    // A dashboard left open must not keep the process from going down.
    let ticks = ticks.flatten().take_until(stopping.cancelled_owned());
    Sse::new(ticks).keep_alive(KeepAlive::default())
}

fn named(name: &str, data: &impl serde::Serialize) -> Option<Event> {
    Event::default().event(name).json_data(data).ok()
}
