//! Calls of tools: decided by the policy and the counters, told, sent while their units hold, and
//! settled by how they end.

use std::sync::Arc;
use std::time::Instant;

use http::Response;
use hyper::body::Incoming;
use quotum_policy::Limit;
use quotum_telemetry::label::Method;

use super::message::{Understood, refusal_of};
use super::{Inner, Lasts};
use crate::answer::{Body, Caller};
use crate::counters::Counters;
use crate::decide::{
    Call, Decided, Grounds, Judgement, LimitReport, Plan, Ruling, Stop, acquire, judge, too_late,
};
use crate::denial::{Denied, write_limits, write_policy};
use crate::forward::SendError;
use crate::gate::{Held, Units};
use crate::headers::TRACEPARENT;
use crate::json::Raw;
use crate::method::ToolCall;
use crate::record::{Pending, Told, trace_id};
use crate::relay::Settling;
use crate::settle::End;

/// A governed call on its way.
struct Governed<'a> {
    understood: Understood<'a>,
    call: ToolCall<'a>,
    id: Raw<'a>,
    decision_id: String,
}

/// How often a call is decided: again if its admission ended before it could leave.
const DECISIONS_MAX: usize = 2;

// === impl Inner ===

impl<C: Counters> Inner<C> {
    /// Answers `tools/call`.
    pub(super) async fn govern(
        &self,
        understood: Understood<'_>,
        id: Raw<'_>,
        params: Option<Raw<'_>>,
    ) -> Response<Body> {
        let call = match ToolCall::read(params) {
            Ok(call) => call,
            Err(refusal) => return self.refuse(&refusal, Caller::Request(id.text())),
        };
        let decision_id = self.decisions.next();
        let governed = Governed {
            understood,
            call,
            id,
            decision_id,
        };
        let judgement = judge(&governed.call());
        match judgement {
            Judgement::Stop(stop, grounds) => {
                drop(self.tell(&governed, &grounds, &[]));
                let mut response = governed.denied(&stop);
                write_policy(response.headers_mut(), governed.limits());
                response
            }
            Judgement::Acquire(plan) => self.carry_out(governed, &plan).await,
        }
    }

    /// Takes the units of a call and sends it, or denies it.
    async fn carry_out(&self, governed: Governed<'_>, plan: &Plan) -> Response<Body> {
        for _ in 0..DECISIONS_MAX {
            let decided = acquire(&self.counters, plan, &governed.call.tool).await;
            let Decided {
                ruling,
                grounds,
                limits,
                binding,
            } = decided;
            let mut pending = self.tell(&governed, &grounds, &limits);
            let ticket = match ruling {
                Ruling::Stop(stop) => {
                    let mut response = governed.denied(&stop);
                    write_fields(&mut response, plan, &limits, binding);
                    return response;
                }
                Ruling::Go(ticket) => ticket,
            };
            let held = ticket.map(|ticket| Held::new(ticket, plan.use_by()));
            let units = held.map(|held| Arc::new(held) as Arc<dyn Units>);
            let shard = grounds.position.map(|position| position.shard);
            let sent_at = Instant::now();
            let forward = governed.understood.forward();
            let mut settling = self.settling(governed.understood.grant, units, shard);
            let sent = self.send(&forward, &mut settling, Method::ToolsCall).await;
            match sent {
                Ok(answer) => {
                    pending.upstream(answer.status().as_u16(), sent_at);
                    drop(pending);
                    let mut response = self.relay(governed, settling, answer).await;
                    write_fields(&mut response, plan, &limits, binding);
                    return response;
                }
                // Its window has ended, so the units are of no use to anyone; and it has not run.
                Err(SendError::Late) => {
                    pending.discard();
                    settling.units.iter().for_each(|units| units.give_back());
                }
                Err(error) => {
                    pending.upstream(0, sent_at);
                    settling.settle(match error {
                        SendError::NotSent | SendError::Untrusted | SendError::Unusable => {
                            End::NotSent
                        }
                        _ => End::Unknown,
                    });
                    let caller = Caller::Request(governed.id.text());
                    let mut response = self.refuse(&refusal_of(error), caller);
                    write_fields(&mut response, plan, &limits, binding);
                    return response;
                }
            }
        }
        let (stop, grounds) = too_late(plan);
        drop(self.tell(&governed, &grounds, &[]));
        let mut response = governed.denied(&stop);
        write_fields(&mut response, plan, &[], 0);
        response
    }

    async fn relay(
        &self,
        governed: Governed<'_>,
        settling: Settling,
        answer: Response<Incoming>,
    ) -> Response<Body> {
        let understood = governed.understood;
        let inspector = understood.inspector();
        let sessions = (understood.session, false);
        let reply = self.reply(
            understood.grant,
            inspector,
            settling,
            sessions,
            Lasts::ForOneAnswer,
        );
        reply.relay(answer).await
    }

    /// Prepares what is told of a decision: it is told when what is returned is dropped.
    fn tell(&self, governed: &Governed<'_>, grounds: &Grounds, limits: &[LimitReport]) -> Pending {
        let grant = governed.understood.grant;
        let tool = &*governed.call.tool;
        let listed = grant
            .policy
            .as_ref()
            .is_some_and(|policy| policy.compiled.lists(tool));
        let server = grant.server.spec.name.as_str();
        let traceparent = governed.understood.head.headers.get(TRACEPARENT);
        self.telemetry.decided(&Told {
            time_ms: self.config.clock.now_ms(),
            decision_id: &governed.decision_id,
            grant,
            tool,
            tool_known: listed || self.known.contains(server, tool),
            arguments: governed.call.arguments,
            grounds,
            limits,
            request_id: governed.id.text(),
            trace_id: traceparent.and_then(|value| trace_id(value.to_str().ok()?)),
            duration: governed.understood.parsed_at.elapsed(),
        })
    }
}

// === impl Governed ===

impl Governed<'_> {
    fn call(&self) -> Call<'_> {
        Call {
            grant: self.understood.grant,
            tool: &self.call.tool,
            arguments: self.call.arguments.map(Raw::text),
            session: self
                .understood
                .session
                .as_ref()
                .map(|session| &*session.upstream),
        }
    }

    /// The limits of the tool.
    fn limits(&self) -> impl Iterator<Item = &Arc<Limit>> {
        let policy = self.understood.grant.policy.as_ref();
        policy
            .into_iter()
            .flat_map(|policy| policy.compiled.limits_of(&self.call.tool))
    }

    /// The answer to a call that was stopped.
    fn denied(&self, stop: &Stop) -> Response<Body> {
        let denied = Denied {
            id: self.id.text(),
            modern: self.understood.era.is_modern(),
            decision_id: &self.decision_id,
            policy: self.understood.grant.policy.as_deref(),
            stop,
        };
        denied.response()
    }
}

/// Writes the rate-limit fields of a planned call: which limits it has, and what remains of them where
/// the counters have told.
fn write_fields(
    response: &mut Response<Body>,
    plan: &Plan,
    limits: &[LimitReport],
    binding: usize,
) {
    let headers = response.headers_mut();
    match limits {
        [] => write_policy(headers, plan.enforced()),
        limits => write_limits(headers, limits, binding),
    }
}
