//! How hosts become part of the platform, stay it, and cease to be.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use controller_api::join::JoinToken;
use controller_api::wire::{self, JoinRequest, Joined, NodeTokenCreate};
use model::{Account, Checksum, HostRole, Node, NodeId, NodeToken, Timestamp, TokenId};
use store::{Committed, Share, StoreError, Txn, key};

use super::{ActionError, Attempts, lasting};
use crate::auth;
use crate::authority::{Authority, AuthorityError, Subject};
use crate::config::ForJoiners;
use crate::context::Context;
use crate::platform_certificate;

const DEFAULT_EXPIRY: Duration = Duration::from_secs(3600);
const LONGEST_EXPIRY: Duration = Duration::from_secs(366 * 24 * 3600);
const MOST_USES: u32 = 10_000;
/// Tokens that still work, of all administrators.
const MAX_TOKENS: usize = 1000;
const MAX_NAME: usize = 100;
const LEAST_MEMORY: u64 = 64 << 20;
const MOST_MEMORY: u64 = 64 << 40;

/// A new token; its secret is nowhere but in the answer.
pub(crate) async fn create_token(
    context: &Context,
    account: &Account,
    create: &NodeTokenCreate,
) -> Result<wire::NodeToken, ActionError> {
    let given = for_joiners(context)?;
    let now = Timestamp::now();
    let lasts = lasting(
        create.expires_in,
        DEFAULT_EXPIRY,
        LONGEST_EXPIRY,
        "a year's",
    )?;
    let uses = create.uses.unwrap_or(1);
    if uses == 0 || uses > MOST_USES {
        return Err(ActionError::invalid(format!(
            "uses must be between 1 and {MOST_USES}."
        )));
    }
    let roles = match &create.roles {
        Some(roles) if roles.is_empty() => {
            return Err(ActionError::invalid("roles is empty; name at least one."));
        }
        Some(roles) => roles.clone(),
        None => BTreeSet::from([HostRole::Node, HostRole::Router]),
    };
    let reads_slugs = [HostRole::Node, HostRole::Builder, HostRole::Controller];
    if let Some(why) = &given.no_slugs
        && reads_slugs.iter().any(|role| roles.contains(role))
    {
        return Err(ActionError::invalid(why.clone()));
    }
    let token = NodeToken {
        id: TokenId::new(),
        created_by: account.id,
        roles,
        uses,
        used_by: BTreeSet::new(),
        created_at: now,
        expires_at: now.checked_add(lasts).map_err(ActionError::internal)?,
    };
    sweep_tokens(context, now).await?;
    let secret = auth::new_token();
    let place = key::node_token(&auth::token_hash(secret.expose()));
    let txn = Txn::new().create(&key::NODE_TOKENS, place, &token);
    if txn.commit(context.store()).await? == Committed::Conflict {
        return Err(ActionError::invalid("Try again."));
    }
    let printed = JoinToken {
        url: context
            .config
            .api_url("")
            .parse()
            .map_err(ActionError::internal)?,
        addresses: given.addresses.clone(),
        pin: pin(context, given).await?,
        secret,
    };
    Ok(wire::NodeToken {
        expires_at: token.expires_at.into(),
        id: token.id,
        roles: token.roles,
        token: printed.to_string().into(),
        uses,
    })
}

/// Takes away what no host can join with any more.
async fn sweep_tokens(context: &Context, now: Timestamp) -> Result<(), ActionError> {
    let tokens = key::NODE_TOKENS.all(context.store()).await?;
    let (dead, alive): (Vec<_>, Vec<_>) = tokens
        .into_iter()
        .partition(|token| token.value.expires_at <= now);
    for token in dead {
        Txn::new()
            .unchanged(&token)
            .delete(token.key.clone())
            .commit(context.store())
            .await?;
    }
    if alive.len() >= MAX_TOKENS {
        return Err(ActionError::invalid(format!(
            "There are {MAX_TOKENS} tokens that still work; wait until some expire."
        )));
    }
    Ok(())
}

/// `None`: there is no such token, or nobody to answer for it.
pub(crate) async fn maker_of_token(
    context: &Context,
    request: &JoinRequest,
) -> Result<Option<Account>, ActionError> {
    let place = key::node_token(&auth::token_hash(request.secret.expose()));
    let Some(token) = key::NODE_TOKENS.get(context.store(), &place).await? else {
        return Ok(None);
    };
    let maker = key::account(token.value.created_by);
    let maker = key::ACCOUNTS.get(context.store(), &maker).await?;
    Ok(maker.map(|maker| maker.value))
}

/// Makes a host one of ours. May be repeated by the same host: an answer may be lost.
pub(crate) async fn join(context: &Context, request: JoinRequest) -> Result<Joined, ActionError> {
    let given = for_joiners(context)?;
    let now = Timestamp::now();
    check(&request)?;
    let place = key::node_token(&auth::token_hash(request.secret.expose()));
    let authority = authority(context).await?;
    let mut attempts = Attempts::default();
    let (roles, certificate) = loop {
        let token = key::NODE_TOKENS
            .get(context.store(), &place)
            .await?
            .filter(|token| token.value.admits(request.id, now))
            .ok_or_else(|| ActionError::Forbidden {
                message: "The join token is not valid: it has expired, was used up, or never was. \
                          `paas nodes:token` makes another."
                    .to_owned(),
            })?;
        let roles = allowed(&token.value, request.roles.as_ref())?;
        // First: a request that nothing can be made of leaves no record.
        let subject = Subject {
            node: request.id,
            address: request.address,
            roles: &roles,
        };
        let certificate = authority
            .issue(
                &request.certificate_request,
                &subject,
                now,
                context.config.certificate_lifetime,
            )
            .map_err(refused)?;
        let node_key = key::node(request.id);
        let known = key::NODES.get(context.store(), &node_key).await?;
        refuse_taken_name(context, &request).await?;
        let node = Node {
            id: request.id,
            name: request.name.clone(),
            address: request.address,
            roles: roles.clone(),
            zone: request.zone.clone(),
            tags: request.tags.clone(),
            memory_bytes: request.memory_bytes,
            cpus: request.cpus,
            cordoned: known.as_ref().is_some_and(|known| known.value.cordoned),
            draining: known.as_ref().is_some_and(|known| known.value.draining),
            joined_at: known.as_ref().map_or(now, |known| known.value.joined_at),
        };
        let mut used = token.value.clone();
        used.used_by.insert(request.id);
        let txn = Txn::new().replace(&key::NODE_TOKENS, &token, &used);
        let txn = match &known {
            Some(known) => txn.replace(&key::NODES, known, &node),
            None => txn.create(&key::NODES, node_key, &node),
        };
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            break (roles, certificate);
        }
        attempts.lost().await?;
    };
    let public_certificate = if roles.contains(&HostRole::Router) {
        Some(public_certificate(context, given).await?)
    } else {
        None
    };
    let settings = match roles.contains(&HostRole::Controller) {
        true => &given.controller_settings,
        false => &given.settings,
    };
    Ok(Joined {
        authority: authority.certificate,
        certificate,
        keys: context
            .keyring
            .share(Share::of(&roles))
            .ok_or_else(|| ActionError::internal(StoreError::Unseal))?,
        roles,
        settings: settings.clone(),
        public_certificate,
    })
}

/// The next certificate of a host, which proved by its present one who it is.
pub(crate) async fn renew(
    context: &Context,
    node: NodeId,
    request: &str,
) -> Result<String, ActionError> {
    let known = key::NODES
        .get(context.store(), &key::node(node))
        .await?
        .ok_or_else(|| ActionError::Forbidden {
            message: "The host was removed from the platform. Join it again to use it.".to_owned(),
        })?;
    let subject = Subject {
        node,
        address: known.value.address,
        roles: &known.value.roles,
    };
    authority(context)
        .await?
        .issue(
            request,
            &subject,
            Timestamp::now(),
            context.config.certificate_lifetime,
        )
        .map_err(refused)
}

/// Forgets a host that is down. Its certificate is not renewed any more, and what it ran is run elsewhere.
pub(crate) async fn remove(context: &Context, identity: &str) -> Result<Node, ActionError> {
    let seen = super::nodes::find(context.store(), identity).await?;
    let (id, name) = (seen.value.id, &seen.value.name);
    let txn = Txn::new()
        .unchanged(&seen)
        .absent(key::alive_node(id))
        .delete(seen.key.clone());
    if let Committed::Done(_) = txn.commit(context.store()).await? {
        return Ok(seen.value);
    }
    let dynos = key::DYNOS.all(context.store()).await?;
    let placed = dynos
        .iter()
        .filter(|dyno| dyno.value.node == Some(id))
        .count();
    Err(ActionError::invalid(match placed {
        0 => format!("{name} is up. Stop paasd there first, or it would be back at once."),
        1 => format!("{name} is up and has a dyno; move it first with `paas nodes:drain {name}`."),
        _ => format!(
            "{name} is up and has {placed} dynos; move them first with `paas nodes:drain {name}`."
        ),
    }))
}

/// The one in use; before there is a record of it, this host's.
async fn public_certificate(
    context: &Context,
    given: &ForJoiners,
) -> Result<wire::CertificateAndKey, ActionError> {
    if let Some(current) = platform_certificate::current(context.store()).await? {
        let key = context.keyring.open(&current.key, &current.value.key)?;
        return Ok(wire::CertificateAndKey {
            certificate: current.value.chain,
            key,
        });
    }
    let (certificate, key) = &given.public_certificate;
    let read = |path| fs_err::read_to_string(path).map_err(ActionError::internal);
    Ok(wire::CertificateAndKey {
        certificate: read(certificate)?,
        key: read(key)?.into(),
    })
}

/// By what a host that joins knows the platform.
async fn pin(context: &Context, given: &ForJoiners) -> Result<Option<Checksum>, ActionError> {
    let current = platform_certificate::current(context.store()).await?;
    Ok(current.map_or_else(|| given.pin.clone(), |current| current.value.pin))
}

fn for_joiners(context: &Context) -> Result<&ForJoiners, ActionError> {
    context
        .config
        .joiners
        .as_ref()
        .map_err(|why| ActionError::invalid(why.clone()))
}

async fn authority(context: &Context) -> Result<Authority, ActionError> {
    let found = Authority::load(context.store(), &context.keyring)
        .await
        .map_err(ActionError::internal)?;
    found.ok_or_else(|| {
        ActionError::invalid("The platform has no authority for hosts yet; start paasd once more.")
    })
}

fn refused(error: AuthorityError) -> ActionError {
    match error {
        AuthorityError::BadRequest(_) => {
            ActionError::invalid("The certificate request cannot be read.")
        }
        error => ActionError::internal(error),
    }
}

fn allowed(
    token: &NodeToken,
    wanted: Option<&BTreeSet<HostRole>>,
) -> Result<BTreeSet<HostRole>, ActionError> {
    let wanted = wanted.unwrap_or(&token.roles);
    let beyond: Vec<_> = wanted.difference(&token.roles).copied().collect();
    if wanted.is_empty() {
        return Err(ActionError::invalid("roles is empty; name at least one."));
    }
    if let Some(role) = beyond.first() {
        let all: Vec<_> = HostRole::ALL
            .iter()
            .filter(|role| wanted.contains(role) || token.roles.contains(role))
            .map(|role| role.as_str())
            .collect();
        return Err(ActionError::Forbidden {
            message: format!(
                "The join token is not for the role {role}. Make one that is: paas nodes:token --roles {}",
                all.join(",")
            ),
        });
    }
    Ok(wanted.clone())
}

fn check(request: &JoinRequest) -> Result<(), ActionError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if request.name.is_empty()
        || request.name.len() > MAX_NAME
        || !request.name.chars().all(is_plain)
    {
        return Err(ActionError::invalid(
            "A host's name is made of letters, digits, dots and dashes, 100 at most.",
        ));
    }
    let own = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    if request.address.is_unspecified() || own.contains(&request.address) {
        return Err(ActionError::invalid(format!(
            "{} is no address that other hosts could reach this one at; give one with --address.",
            request.address
        )));
    }
    if request.address.is_multicast() {
        return Err(ActionError::invalid(format!(
            "{} is an address of many hosts; give this one's own with --address.",
            request.address
        )));
    }
    let is_zone =
        |zone: &String| !zone.is_empty() && zone.len() <= MAX_NAME && zone.chars().all(is_plain);
    if !request.zone.as_ref().is_none_or(is_zone) {
        return Err(ActionError::invalid(
            "A zone's name is made of letters, digits, dots and dashes, 100 at most.",
        ));
    }
    if !(LEAST_MEMORY..=MOST_MEMORY).contains(&request.memory_bytes) || request.cpus == 0 {
        return Err(ActionError::invalid(
            "A host has a CPU at least, and between 64 MiB and 64 TiB of memory for dynos; say how much with --memory-mb.",
        ));
    }
    super::nodes::check_tags(request.tags.iter().map(|(name, value)| (name, Some(value))))
}

/// Two hosts of one name could not be told apart by whoever drains one, nor two of one address by whoever calls one.
async fn refuse_taken_name(context: &Context, request: &JoinRequest) -> Result<(), ActionError> {
    let nodes = key::NODES.all(context.store()).await?;
    let others = || {
        nodes
            .iter()
            .map(|node| &node.value)
            .filter(|node| node.id != request.id)
    };
    let is_called_so = |node: &&Node| {
        node.name.eq_ignore_ascii_case(&request.name) || node.id.to_string() == request.name
    };
    if let Some(same) = others().find(is_called_so) {
        return Err(ActionError::invalid(format!(
            "Another host is called {0}. Name this one with --name, or, if that one is gone for good: paas nodes:remove {0}",
            same.name
        )));
    }
    if let Some(same) = others().find(|node| node.address == request.address) {
        return Err(ActionError::invalid(format!(
            "{} is the address of {1} already. Give this host's own with --address, or, if {1} is gone for good: paas \
             nodes:remove {1}",
            request.address, same.name
        )));
    }
    Ok(())
}
