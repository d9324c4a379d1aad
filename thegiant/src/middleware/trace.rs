//! A tracing span for each command.

use tracing::{Span, field::Empty};

use super::{Decision, Middleware, Outcome};
use crate::Request;

/// Opens a `tracing` span for each command.
///
/// The span is called `command`, has the level `INFO` and the target `thegiant::command`. It begins when the command has passed
/// this middleware, and ends with the reply. The handler runs inside of it, so spans and events of the handler are its children.
/// Its fields have the names of OpenTelemetry:
///
/// | field | value |
/// | --- | --- |
/// | `otel.name`, `db.operation.name` | the command, such as `set` or `config\|get` |
/// | `otel.kind` | `server` |
/// | `client.address` | the address of the client |
/// | `db.namespace` | the database of the client |
/// | `otel.status_code`, `error.type` | if the reply is an error: `ERROR`, and the code of the error |
///
/// # OpenTelemetry
/// The toolkit needs no OpenTelemetry crate: `tracing-opentelemetry` exports the spans of `tracing`, and knows the fields
/// whose names begin with `otel.`. So the application chooses the exporter and its version:
///
/// ```ignore
/// use tracing_subscriber::prelude::*;
///
/// let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?;
/// let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
/// tracing_subscriber::registry()
///     .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("counter")))
///     .init();
/// let app = || App::new().middleware(Trace::new()).mount(Counters::default().start());
/// ```
///
/// If nothing records the target, the middleware only asks `tracing` for it. To record one command in a hundred, use the sampler
/// of the exporter.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Trace;

impl Trace {
    /// Returns the middleware.
    pub fn new() -> Self {
        Trace
    }
}

impl Middleware for Trace {
    fn before(&self, request: &Request<'_>) -> Decision {
        if !tracing::enabled!(target: "thegiant::command", tracing::Level::INFO) {
            return Decision::Run;
        }
        let name = request.logged_name();
        let client = request.client();
        Decision::RunIn(tracing::info_span!(
            target: "thegiant::command",
            parent: None,
            "command",
            otel.name = name,
            otel.kind = "server",
            db.operation.name = name,
            db.namespace = client.db(),
            client.address = %client.addr(),
            otel.status_code = Empty,
            "error.type" = Empty,
        ))
    }

    fn after(&self, _: &Request<'_>, outcome: &Outcome<'_>) {
        if let (Some(span), Some(code)) = (outcome.span(), outcome.error_code()) {
            record(span, code);
        }
    }
}

fn record(span: &Span, code: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", code);
}
