//! How many files this process may have open: every connection is one, and another to a dyno.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Fewer than this is no limit for a server.
const FEW: u64 = 16 * 1024;

/// Raises the limit as far as it may be, which needs no right, and gives it.
pub(crate) fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None`: without limit.
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => maximum,
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not raise the limit of open files"
            );
            current
        }
    };
    let files = limit.unwrap_or(u64::MAX);
    if files < FEW {
        warn!(
            files,
            "Few files may be open: clients are turned away sooner (H22); raise LimitNOFILE or ulimit -n"
        );
    } else {
        info!(files, "Open files are limited");
    }
    usize::try_from(files).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_may_be_had_is_taken() {
        let files = raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert_eq!(files as u64, maximum.unwrap_or(u64::MAX));
    }
}
