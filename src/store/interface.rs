//! The `network_interface` table.

use jiff::Timestamp;
use rusqlite::params;

use crate::model::{InterfaceFacts, InterfaceId, MachineId, NetworkInterface};
use crate::store::connection::Store;
use crate::store::error::StoreError;
use crate::store::row::{self, TableRow, columns};

impl TableRow for NetworkInterface {
    const TABLE: &'static str = "network_interface";
    const COLUMNS: &'static str = "id, machine_id, mac_address, ip_public, ip_local, dns_server, hostname, iface, isp, \
        city, region, country, created_at, modified_at";
}

columns! {
    InterfaceFacts {
        mac_address, ip_public, ip_local, dns_server, hostname, iface, isp, city, region, country,
    }
    NetworkInterface { id, machine_id, facts, created_at, modified_at }
}

/// The columns that identify an interface.
const KEY: &str = "machine_id, ip_public, ip_local, mac_address, dns_server";

impl Store {
    /// Returns the interface that a machine used last, or `None` if none is stored.
    pub fn newest_interface(&self, machine_id: MachineId) -> Result<Option<NetworkInterface>, StoreError> {
        const NEWEST: &str = "WHERE machine_id = ?1 ORDER BY modified_at DESC, id DESC LIMIT 1";
        Ok(self.list(NEWEST, [machine_id])?.pop())
    }

    /// Stores the interface that a machine uses now, and returns it. Facts with the same addresses, MAC address and name
    /// server update the stored interface.
    pub fn save_interface(
        &self,
        machine_id: MachineId,
        facts: &InterfaceFacts,
        now: Timestamp,
    ) -> Result<NetworkInterface, StoreError> {
        let interface = NetworkInterface {
            id: InterfaceId::generate(),
            machine_id,
            facts: facts.clone(),
            created_at: now,
            modified_at: now,
        };
        let InterfaceFacts { mac_address, ip_public, ip_local, dns_server, .. } = facts;
        let by_key = format!("WHERE ({KEY}) = (?1, ?2, ?3, ?4, ?5)");
        self.transaction(|transaction| {
            let read = || {
                let key = params![machine_id, ip_public, ip_local, mac_address, dns_server];
                row::only::<NetworkInterface>(transaction, &by_key, key)
            };
            // A row that cannot be read is replaced, except its id.
            let kept: &[&str] = if read().is_ok() { &["id", "created_at"] } else { &["id"] };
            row::write(transaction, &row::upsert_sql::<NetworkInterface>(KEY, kept), &interface)?;
            read()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{store_with_machine, time};

    fn facts() -> InterfaceFacts {
        InterfaceFacts {
            mac_address: "aa:bb:cc:dd:ee:ff".to_owned(),
            ip_local: "10.0.0.2".to_owned(),
            dns_server: "10.0.0.1".to_owned(),
            iface: "eth0".to_owned(),
            ..InterfaceFacts::default()
        }
    }

    #[test]
    fn an_interface_that_is_seen_again_updates_its_row() {
        let (_dir, store, machine) = store_with_machine();
        let first = store.save_interface(machine, &facts(), time(1)).unwrap();
        assert_eq!((first.created_at, first.modified_at, &first.facts), (time(1), time(1), &facts()));
        let renamed = InterfaceFacts { hostname: "new".to_owned(), ..facts() };
        let second = store.save_interface(machine, &renamed, time(2)).unwrap();
        let expected = NetworkInterface { facts: renamed, modified_at: time(2), ..first };
        assert_eq!(second, expected);
    }

    #[test]
    fn another_address_is_another_row_and_the_last_one_is_newest() {
        let (_dir, store, machine) = store_with_machine();
        assert_eq!(store.newest_interface(machine).unwrap(), None);
        let home = store.save_interface(machine, &facts(), time(1)).unwrap();
        let moved = InterfaceFacts { ip_local: "192.168.0.2".to_owned(), ..facts() };
        let away = store.save_interface(machine, &moved, time(2)).unwrap();
        assert_ne!(home.id, away.id);
        assert_eq!(store.newest_interface(machine).unwrap(), Some(away));
        let back = store.save_interface(machine, &facts(), time(3)).unwrap();
        assert_eq!(back.id, home.id);
        assert_eq!(store.newest_interface(machine).unwrap(), Some(back));
    }
}
