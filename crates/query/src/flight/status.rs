use crate::{Error, Kind};
use tonic::{Code, Status};

/// The error as gRPC carries it: drivers turn the code into their own kinds of exception.
pub(super) fn status(error: &Error) -> Status {
    let code = match error.kind {
        Kind::Syntax | Kind::Invalid | Kind::UnknownColumn | Kind::UnknownFunction => Code::InvalidArgument,
        Kind::UnknownTable => Code::NotFound,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Timeout => Code::DeadlineExceeded,
        Kind::Cancelled => Code::Cancelled,
        Kind::Memory | Kind::Busy | Kind::ScanLimit => Code::ResourceExhausted,
        Kind::Conflict => Code::Aborted,
        Kind::Storage => Code::Unavailable,
        Kind::Internal => Code::Internal,
    };
    let place = match (error.line, error.column) {
        (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
        _ => String::new(),
    };
    let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!(". {hint}"));
    Status::new(code, format!("{error}{place}{hint}"))
}

/// A handle that stands for nothing, or no longer.
pub(super) fn unknown(what: &str) -> Status {
    Status::not_found(format!("the {what} is not known, or was not used for too long; make it anew"))
}

/// Too many things are kept for clients.
pub(super) fn too_many(what: &str) -> Status {
    Status::resource_exhausted(format!("too many {what} are open; close some, or wait until unused ones are forgotten"))
}
