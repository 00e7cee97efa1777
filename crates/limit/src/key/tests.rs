use super::*;

fn key(bytes: &[u8]) -> Key {
    Key::new(bytes).unwrap()
}

#[test]
fn a_grant_is_a_tenant_whatever_it_counts() {
    let spend = key(b"\x01\x04shop\x02g1\x03pay\x05spend\x04\x01");
    let session = key(b"\x02\x04shop\x02g1\x01s\x03pay\x05spend\x04\x01");
    let other = key(b"\x01\x04shop\x02g2\x03pay\x05spend\x04\x01");
    assert_eq!(spend.tenant(), session.tenant());
    assert_ne!(spend.tenant(), other.tenant());
    assert_ne!(spend.tenant(), Tenant::default());
}

#[test]
fn servers_and_domains_are_tenants_too() {
    let server = key(b"\x03\x04shop\x03pay\x05spend\x04\x01");
    let domain = key(b"\x05\x04shop\x01k\x00\x01v");
    let in_request = key(b"\x06\x04shop\x01k\x00\x02vv");
    assert_ne!(server.tenant(), domain.tenant());
    assert_eq!(domain.tenant(), in_request.tenant());
    assert_ne!(server.tenant(), Tenant::default());
}

#[test]
fn a_hashed_key_keeps_its_tenant() {
    let short = b"\x02\x04shop\x02g1\x01s\x03pay";
    let hashed = Key::hashed(short, &[7; 32]);
    assert_eq!(hashed.as_bytes().len(), 41);
    assert_eq!(hashed.tenant(), key(short).tenant());
    let nobodys = Key::hashed(b"\x04\x00\x00\x05spend", &[7; 32]);
    assert_eq!(nobodys.tenant(), Tenant::default());
}

#[test]
fn other_bytes_are_nobodys() {
    let long_length = [1, 0xff, 0xff, 0xff, 0xff, 0xff];
    for bytes in [
        b"k".as_slice(),
        b"\x04\x00\x00\x05spend",
        b"\x01\x04sho",
        b"\x01\x04shop\x09g1",
        b"\xff\x01",
        &long_length,
    ] {
        assert_eq!(key(bytes).tenant(), Tenant::default(), "{bytes:?}");
    }
}
