use std::time::Duration;
use wasmtime::Trap;

/// Why a call of the plugin brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It said so itself.
    #[error("the plugin refused: {0}")]
    Refused(String),
    /// It stopped in a way no program stops on purpose.
    #[error("the plugin trapped: {0}")]
    Trapped(String),
    /// It was still running.
    #[error("the plugin was stopped after {} ms of CPU time", .0.as_millis())]
    TimedOut(Duration),
    /// It wanted more memory than it may have.
    #[error("the plugin wanted more than its {} MiB of memory", .0 >> 20)]
    OutOfMemory(usize),
    /// Its answer breaks the contract.
    #[error("the plugin's answer is not valid: {0}")]
    Lied(String),
    /// It failed on so many other rows of this batch that these were not tried one by one.
    #[error("the plugin kept failing on this batch, so its remaining rows were not tried again; last: {0}")]
    GaveUp(Box<Failure>),
    /// It failed on so many batches that it was not asked.
    #[error("the plugin was not called, because it failed on the {batches} batches before; last: {last}")]
    NotCalled {
        /// How many batches in a row.
        batches: u32,
        /// What it did then.
        last: Box<Failure>,
    },
}

impl Failure {
    /// Whether a call that ends so costs real time, so that few of them are afforded.
    pub(crate) fn is_costly(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::OutOfMemory(_))
    }

    /// Whether the instance may go on living.
    pub(crate) fn spares_the_instance(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Lied(_) | Self::NotCalled { .. })
    }

    /// The failure behind the excuses.
    pub(crate) fn root(&self) -> &Self {
        match self {
            Self::GaveUp(last) | Self::NotCalled { last, .. } => last.root(),
            other => other,
        }
    }
}

/// A plugin's text as it may appear in a message: short, and on one line.
pub(crate) fn tame(text: &str) -> String {
    const CHARS_MAX: usize = 500;
    let mut out: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

/// What an error of the engine means in words.
pub(crate) fn trap_text(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => "it reached code that must never run (a panic or an abort)".to_owned(),
        Some(Trap::StackOverflow) => "it ran out of stack (recursion too deep)".to_owned(),
        Some(Trap::MemoryOutOfBounds) => "it reached outside of its memory (a wrong pointer, or recursion too deep)".to_owned(),
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None => tame(&error.root_cause().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_text_is_cut_and_put_on_one_line() {
        assert_eq!(tame("a\nb"), "a b");
        let long = tame(&"é".repeat(600));
        assert_eq!(long.chars().count(), 501);
        assert!(long.ends_with('…'));
    }
}
