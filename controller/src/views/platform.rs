//! Stacks, regions and sizes: fixed things, so their times are too.

use controller_api::{WireTime, wire};
use model::{DynoSize, Timestamp};

use super::{GENERATION, id_of, named};

/// There is one. The CLI shows any but this name with every app.
pub(crate) const REGION: &str = "us";

/// 2026-01-01
const EPOCH: WireTime = WireTime(Timestamp::constant(1_767_225_600, 0));

pub(crate) fn stack(name: &str, is_default: bool) -> wire::Stack {
    wire::Stack {
        created_at: EPOCH,
        default: is_default,
        id: id_of("stack", name),
        name: name.to_owned(),
        state: "public".to_owned(),
        updated_at: EPOCH,
    }
}

pub(crate) fn stack_named(name: &str) -> wire::Named {
    named("stack", name)
}

pub(crate) fn region() -> wire::Region {
    wire::Region {
        country: "Here".to_owned(),
        created_at: EPOCH,
        description: "This platform".to_owned(),
        id: id_of("region", REGION),
        locale: "Here".to_owned(),
        name: REGION.to_owned(),
        private_capable: false,
        provider: wire::Provider {
            name: "paas".to_owned(),
            region: REGION.to_owned(),
        },
        updated_at: EPOCH,
    }
}

pub(crate) fn region_named(name: &str) -> wire::Named {
    named("region", name)
}

pub(crate) fn dyno_size(size: DynoSize) -> wire::DynoSize {
    const GIB: f64 = (1u64 << 30) as f64;
    #[expect(
        clippy::cast_precision_loss,
        reason = "sizes are whole mebibytes, far below 2^52"
    )]
    let memory = size.memory_bytes() as f64 / GIB;
    wire::DynoSize {
        architecture: "amd64".to_owned(),
        compute: size.cpu_shares() / 256,
        cost: None,
        dedicated: false,
        generation: named("generation", GENERATION),
        id: id_of("dyno-size", size.as_str()),
        memory,
        name: size.as_str().to_owned(),
        precise_dyno_units: 0.0,
        private_space_only: false,
    }
}
