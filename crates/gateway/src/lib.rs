//! The MCP edge: hygiene, parse, session, policy, forward, filter, settle.
//!
//! Promises: a tool that the policy does not allow never runs; no list of tools and no instructions
//! of a server name a hidden tool (what else a server writes, such as the description of a visible
//! tool, passes as it is); a call is never sent twice; what cannot be read with certainty does not
//! pass. Keeps nothing that another gateway needs. Knows nothing of the environment or of wall
//! clocks: both arrive with the [`config`].
//!
//! # Layout
//! * [`server`]: the accept loop. [`pipeline`]: the order of the steps, which are
//! * [`framing`], [`hygiene`], [`bearer`], [`open`]: the head of a request, its grant, its place;
//! * [`room`]: the bytes of bodies that are held;
//! * [`json`], [`shape`], [`era`], [`session`], [`method`], [`task`]: what its message is;
//! * [`decide`], [`denial`], [`record`]: whether a call may run, and what is told of it;
//! * [`forward`], [`gate`]: sending it while its units hold;
//! * [`relay`], [`sse`], [`inspect`], [`filter`], [`reply`]: the answer;
//! * [`settle`]: what becomes of the units.
//! * [`status`], [`answer`], [`headers`], [`cors`]: what the gateway says itself.
//! * [`counters`]: the seam to the counter service. [`config`], [`limits`]: settings and maxima.

pub mod answer;
pub mod bearer;
pub mod config;
pub mod cors;
pub mod counters;
pub mod decide;
pub mod denial;
pub mod era;
pub mod filter;
pub mod forward;
pub mod framing;
pub mod gate;
pub mod guarded;
pub mod headers;
pub mod hygiene;
pub mod inspect;
pub mod json;
pub mod known;
pub mod limits;
pub mod method;
pub mod open;
pub mod pipeline;
pub mod record;
pub mod relay;
pub mod reply;
pub mod room;
pub mod server;
pub mod session;
pub mod settle;
pub mod shape;
pub mod sse;
pub mod status;
pub mod task;

pub use config::{Clock, Config, Hosts, Snapshot};
pub use counters::{Counters, Ticket};
pub use pipeline::Gateway;
pub use record::Telemetry;
