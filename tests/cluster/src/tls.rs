//! Certificates: every process shows one and believes only the cluster's authorities, and so do the
//! clients of this one. All of them can be replaced while everything runs.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quotum_client::Dialer;
use quotum_client::dialer::{DialError, endpoint};
use quotum_e2e::failure::Result;
use quotum_e2e::secured::{Authorities, believe};
use quotum_replica::clock::{Clock as _, RealClock};
use quotum_transport::{Connector, Credentials, Ends, Material};
use tonic::transport::Channel;

use crate::network::Host;

/// Who asks for decisions, and who orders.
const CALLER: &str = "caller";
pub const OPERATOR: &str = "operator";
/// An operator whose certificate is of an authority that was taken out.
pub const FORMER: &str = "former-operator";

/// How processes talk to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Plaintext,
    /// TLS, with certificates both ways.
    Tls,
}

/// How this process connects to nodes.
#[derive(Debug, Clone)]
pub struct Reach(Option<Credentials>);

/// The certificates of a cluster, and who vouches for them.
pub struct Certificates {
    folder: PathBuf,
    authorities: Authorities,
    /// Those that are to replace them, or were replaced.
    others: Option<Authorities>,
    holders: Vec<Holder>,
    caller: Credentials,
    operator: Credentials,
}

/// A process, and where it serves if it is a node.
struct Holder {
    name: String,
    host: Option<String>,
}

// === impl Reach ===

impl Reach {
    pub fn plaintext() -> Self {
        Self(None)
    }

    /// A channel that connects at its first use, and anew when it broke.
    pub fn channel(
        &self,
        address: &str,
        time_max: Duration,
    ) -> std::result::Result<Channel, DialError> {
        match &self.0 {
            None => Ok(endpoint("http", address, time_max)?.connect_lazy()),
            Some(credentials) => {
                let connector = Connector::new(credentials.clone(), time_max);
                let endpoint = endpoint("https", address, time_max)?;
                Ok(endpoint.connect_with_connector_lazy(connector))
            }
        }
    }

    pub fn dialer(&self, time_max: Duration) -> Dialer {
        let reach = self.clone();
        Dialer::new(move |address| reach.channel(address, time_max))
    }
}

// === impl Certificates ===

impl Certificates {
    pub fn new(folder: PathBuf) -> Result<Self> {
        let authorities = Authorities::new("first");
        let own = |name: &str, role: &str| -> Result<Credentials> {
            let folder = folder.join(name);
            fs::create_dir_all(&folder)?;
            authorities.issue_client(&folder, role)?;
            believe(&folder, &[&authorities])?;
            Ok(Credentials::new(Ends::Client, &material(&folder)?)?)
        };
        Ok(Self {
            caller: own(CALLER, "gateway/caller")?,
            operator: own(OPERATOR, "operator/operator")?,
            holders: Vec::new(),
            folder,
            authorities,
            others: None,
        })
    }

    /// Issues what a node needs, and tells where it is.
    pub fn add_node(&mut self, name: &str, host: &Host) -> Result<PathBuf> {
        self.add(name, Some(host.ip.to_string()))
    }

    /// Issues what a gateway needs, and tells where it is.
    pub fn add_gateway(&mut self, name: &str) -> Result<PathBuf> {
        self.add(name, None)
    }

    fn add(&mut self, name: &str, host: Option<String>) -> Result<PathBuf> {
        let holder = Holder {
            name: name.to_owned(),
            host,
        };
        let folder = self.of(name);
        fs::create_dir_all(&folder)?;
        holder.issue(&folder, &self.authorities)?;
        believe(&folder, &[&self.authorities])?;
        self.holders.push(holder);
        Ok(folder)
    }

    /// The folder of somebody's files.
    fn of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a command of an operator is told: how to reach nodes, and as whom.
    pub fn options(&self, operator: &str) -> Vec<PathBuf> {
        let folder = self.of(operator);
        let mut options = Vec::new();
        for (option, file) in [
            ("--ca", "clients-ca.crt"),
            ("--cert", "clients.crt"),
            ("--key", "clients.key"),
        ] {
            options.extend([PathBuf::from(option), folder.join(file)]);
        }
        options
    }

    /// As one who asks for decisions.
    pub fn caller(&self) -> Reach {
        Reach(Some(self.caller.clone()))
    }

    pub fn operator(&self) -> Reach {
        Reach(Some(self.operator.clone()))
    }

    /// Everybody gets other certificates, of the same authorities.
    pub fn renew(&mut self) -> Result {
        self.issue(&self.authorities)
    }

    /// Everybody believes new authorities as well.
    pub fn introduce(&mut self) -> Result {
        let new = Authorities::new("second");
        self.believe(&[&self.authorities, &new])?;
        self.others = Some(new);
        Ok(())
    }

    /// Everybody gets certificates of the new authorities.
    pub fn adopt(&mut self) -> Result {
        if let Some(new) = self.others.take() {
            self.issue(&new)?;
            self.others = Some(std::mem::replace(&mut self.authorities, new));
        }
        Ok(())
    }

    /// Nobody believes the old authorities any more, of which [`FORMER`] has a certificate.
    pub fn retire(&mut self) -> Result {
        self.believe(&[&self.authorities])?;
        if let Some(old) = self.others.take() {
            let folder = self.of(FORMER);
            fs::create_dir_all(&folder)?;
            old.issue_client(&folder, "operator/operator")?;
            believe(&folder, &[&self.authorities])?;
        }
        Ok(())
    }

    fn issue(&self, authorities: &Authorities) -> Result {
        for holder in &self.holders {
            holder.issue(&self.of(&holder.name), authorities)?;
        }
        authorities.issue_client(&self.of(CALLER), "gateway/caller")?;
        authorities.issue_client(&self.of(OPERATOR), "operator/operator")?;
        self.reload()
    }

    fn believe(&self, authorities: &[&Authorities]) -> Result {
        let holders = self.holders.iter().map(|holder| holder.name.as_str());
        for name in holders.chain([CALLER, OPERATOR]) {
            believe(&self.of(name), authorities)?;
        }
        self.reload()
    }

    /// The clients of this process look at their files at once.
    fn reload(&self) -> Result {
        let now_s = i64::try_from(RealClock.wall_ms() / 1_000)?;
        for (credentials, name) in [(&self.caller, CALLER), (&self.operator, OPERATOR)] {
            credentials.replace(&material(&self.of(name))?, now_s)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.folder).finish()
    }
}

// === impl Holder ===

impl Holder {
    fn issue(&self, folder: &Path, authorities: &Authorities) -> Result {
        match &self.host {
            Some(host) => authorities.issue_counter(folder, &self.name, host),
            None => authorities.issue_client(folder, &format!("gateway/{}", self.name)),
        }
    }
}

fn material(folder: &Path) -> Result<Material> {
    let read = |name: &str| fs::read(folder.join(name));
    Ok(Material {
        identity: Some((read("clients.crt")?, read("clients.key")?.into())),
        authorities: Some(read("clients-ca.crt")?),
    })
}
