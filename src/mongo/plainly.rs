//! The driver's messages, in fewer words.

/// What a person needs of `message`: of a topology, each server's address and trouble.
pub(super) fn plainly(message: &str) -> String {
    let troubles: Vec<String> = message.split("Address: ").skip(1).filter_map(trouble).collect();
    if !troubles.is_empty() {
        return troubles.join("; ");
    }
    let message = message.split(" Topology: ").next().unwrap_or(message);
    let message = message.strip_prefix("An invalid argument was provided: ").unwrap_or(message);
    message.strip_prefix("Kind: ").unwrap_or(message).to_owned()
}

/// Of `host:port, Type: ..., Error: Kind: what, labels: ...`.
fn trouble(server: &str) -> Option<String> {
    let (address, rest) = server.split_once(',')?;
    let (_, error) = rest.split_once("Error: ")?;
    let error = error.strip_prefix("Kind: ").unwrap_or(error);
    let error = error.split(", labels: ").next().unwrap_or(error);
    Some(format!("{address}: {}", error.strip_prefix("I/O error: ").unwrap_or(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_says_what_troubles_it() {
        let message = "Server selection timeout: No available servers. Topology: { Type: Unknown, \
             Servers: [ { Address: a:1, Type: Unknown, Error: Kind: I/O error: Connection refused \
             (os error 111), labels: {\"X\"}, source: None, server response: None }, { Address: \
             b:2, Type: Unknown, Error: Kind: failed to lookup, labels: {} } ] }";
        let said = plainly(message);
        assert_eq!(said, "a:1: Connection refused (os error 111); b:2: failed to lookup");
        let none = "Server selection timeout: No available servers. Topology: { Type: \
             ReplicaSetNoPrimary, Servers: [ { Address: a:1, Type: RsSecondary } ] }";
        assert_eq!(plainly(none), "Server selection timeout: No available servers.");
        assert_eq!(plainly("An invalid argument was provided: no scheme"), "no scheme");
        assert_eq!(plainly("anything else"), "anything else");
    }
}
