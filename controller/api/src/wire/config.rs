//! Config vars: a flat object of strings.

use std::collections::BTreeMap;

use model::Secret;

/// All of an app's config vars, or a release's.
pub type ConfigVars = BTreeMap<String, Secret<String>>;

/// `PATCH`: strings set, nulls unset, what is not named stays.
pub type ConfigVarsUpdate = BTreeMap<String, Option<Secret<String>>>;
