//! The audit log: appending to its one chain, reading it, and finding out whether it is whole.

use model::Checksum;
use model::audit::{AuditBlock, AuditHead, AuditRecord};
use sha2::{Digest as _, Sha256};

use crate::{Committed, Store, StoreError, Txn, Versioned, key};

/// How often an append is tried while others append.
const MAX_ATTEMPTS: u32 = 64;

/// In one block. When this returns, they are there. Records that an earlier call may have left in doubt can be given again.
pub async fn append(store: &dyn Store, records: &[AuditRecord]) -> Result<(), StoreError> {
    for _ in 0..MAX_ATTEMPTS {
        let head = key::AUDIT_HEAD.get(store, &key::audit_head()).await?;
        let newest = head.as_ref().map(|head| &head.value);
        if let Some(head) = newest
            && let Some(block) = read(store, head.number).await?
            && block.records == records
        {
            return Ok(());
        }
        let block = AuditBlock {
            number: newest.map_or(1, |head| head.number + 1),
            before: newest.map_or_else(|| hash_of(b""), |head| head.hash.clone()),
            records: records.to_vec(),
        };
        let next = AuditHead {
            number: block.number,
            hash: hash(&block),
        };
        let txn = Txn::new().create(&key::AUDIT, key::audit_block(block.number), &block);
        let txn = match &head {
            Some(head) => txn.replace(&key::AUDIT_HEAD, head, &next),
            None => txn.create(&key::AUDIT_HEAD, key::audit_head(), &next),
        };
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(());
        }
    }
    Err(StoreError::Contended {
        attempts: MAX_ATTEMPTS,
    })
}

async fn read(store: &dyn Store, number: u64) -> Result<Option<AuditBlock>, StoreError> {
    let found = key::AUDIT.get(store, &key::audit_block(number)).await?;
    Ok(found.map(|block| block.value))
}

/// All that is kept, the oldest first.
pub async fn blocks(store: &dyn Store) -> Result<Vec<Versioned<AuditBlock>>, StoreError> {
    key::AUDIT.all(store).await
}

/// What was found of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The oldest that is kept; what came before it was let go for its age.
    pub first: Option<u64>,
    pub head: Option<AuditHead>,
    /// Why it is not whole.
    pub fault: Option<String>,
}

/// Reads the head first: what is appended meanwhile is no fault.
pub async fn verify(store: &dyn Store) -> Result<Verified, StoreError> {
    let head = key::AUDIT_HEAD.get(store, &key::audit_head()).await?;
    let head = head.map(|head| head.value);
    let blocks = blocks(store).await?;
    let blocks: Vec<_> = blocks.into_iter().map(|seen| seen.value).collect();
    Ok(Verified {
        first: blocks.first().map(|block| block.number),
        fault: fault(&blocks, head.as_ref()),
        head,
    })
}

fn fault(blocks: &[AuditBlock], head: Option<&AuditHead>) -> Option<String> {
    for pair in blocks.windows(2) {
        let [before, after] = pair else { continue };
        if after.number != before.number + 1 {
            let (from, to) = (before.number, after.number);
            return Some(format!("blocks between {from} and {to} are missing"));
        }
        if after.before != hash(before) {
            return Some(format!("block {} was changed", before.number));
        }
    }
    let Some(head) = head else {
        return (!blocks.is_empty()).then(|| "the head is missing".to_owned());
    };
    match blocks.iter().find(|block| block.number == head.number) {
        None => Some(format!("block {} is missing", head.number)),
        Some(block) if hash(block) != head.hash => {
            Some(format!("block {} was changed", block.number))
        }
        Some(_) => None,
    }
}

fn hash(block: &AuditBlock) -> Checksum {
    match serde_json::to_vec(block) {
        Ok(bytes) => hash_of(&bytes),
        Err(_) => unreachable!("texts and numbers can be written as JSON"),
    }
}

fn hash_of(bytes: &[u8]) -> Checksum {
    match hex::encode(Sha256::digest(bytes)).parse() {
        Ok(checksum) => checksum,
        Err(_) => unreachable!("a SHA-256 in hex is a checksum"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::Timestamp;
    use model::audit::DeedEnd;
    use uuid::Uuid;

    use super::*;
    use crate::Embedded;

    fn record(status: u16) -> AuditRecord {
        AuditRecord::Ended(DeedEnd {
            id: Uuid::now_v7(),
            at: Timestamp::UNIX_EPOCH,
            status,
            details: String::new(),
        })
    }

    async fn chain(length: u16) -> Arc<Embedded> {
        let store = Embedded::open_in_memory().unwrap();
        for status in 0..length {
            append(&*store, &[record(status)]).await.unwrap();
        }
        store
    }

    async fn fault_of(store: &dyn Store) -> Option<String> {
        verify(store).await.unwrap().fault
    }

    #[tokio::test]
    async fn a_chain_is_whole_until_somebody_changes_it_or_takes_something_out() {
        let store = chain(5).await;
        let verified = verify(&*store).await.unwrap();
        assert_eq!((verified.first, verified.fault), (Some(1), None));
        assert_eq!(verified.head.unwrap().number, 5);

        for (number, words) in [(3, "block 3 was changed"), (5, "block 5 was changed")] {
            let store = chain(5).await;
            let seen = key::AUDIT.get(&*store, &key::audit_block(number)).await;
            let mut changed = seen.unwrap().unwrap().value;
            changed.records = vec![record(999)];
            let place = key::audit_block(number);
            let txn = Txn::new().put(&key::AUDIT, place, &changed);
            txn.commit(&*store).await.unwrap();
            assert_eq!(fault_of(&*store).await.as_deref(), Some(words));
        }
        for (number, words) in [(3, "between 2 and 4"), (5, "block 5 is missing")] {
            let store = chain(5).await;
            let txn = Txn::new().delete(key::audit_block(number));
            txn.commit(&*store).await.unwrap();
            let fault = fault_of(&*store).await.unwrap();
            assert!(fault.contains(words), "{fault}");
        }
    }

    #[tokio::test]
    async fn what_grew_too_old_may_go_from_the_beginning() {
        let store = chain(5).await;
        let txn = Txn::new().delete(key::audit_block(1));
        txn.commit(&*store).await.unwrap();
        let verified = verify(&*store).await.unwrap();
        assert_eq!((verified.first, verified.fault), (Some(2), None));
    }

    #[tokio::test]
    async fn many_append_to_one_chain_and_none_gets_lost() {
        let store = Embedded::open_in_memory().unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for status in 0..20 {
            let store = store.clone();
            tasks.spawn(async move { append(&*store, &[record(status)]).await.unwrap() });
        }
        tasks.join_all().await;
        let verified = verify(&*store).await.unwrap();
        assert_eq!(verified.fault, None);
        assert_eq!(verified.head.unwrap().number, 20);
    }

    #[tokio::test]
    async fn what_is_given_again_after_a_doubt_is_there_once() {
        let store = chain(1).await;
        let records = [record(1), record(2)];
        append(&*store, &records).await.unwrap();
        append(&*store, &records).await.unwrap();
        assert_eq!(blocks(&*store).await.unwrap().len(), 2);
    }
}
