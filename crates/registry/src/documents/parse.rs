//! Parsing: one document of each kind, member by member.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::members::{Fault, Members, as_text, nearest, pointer, wrong_type};
use super::{CredentialSource, Documents, GrantDocument, SecretSource, ServerDocument, timestamp};
use crate::limits::{CREDENTIAL_HEADERS_MAX, METHODS_MAX};
use crate::name::{GrantName, Name, NameError};
use crate::policy::Document;
use crate::secret::credential;
use crate::server::{Refund, ServerSpec};
use crate::upstream::Upstream;

const KINDS: [&str; 3] = ["Server", "Policy", "Grant"];

// === impl Documents ===

impl Documents {
    pub(super) fn add(&mut self, value: &Value) -> Result<(), Fault> {
        let mut members = Members::of(value, "")?;
        match members.text("kind")? {
            "Server" => {
                let (name, server) = server(members)?;
                once(&mut self.servers, "server", name, server)
            }
            "Policy" => {
                let (name, document) = policy(members)?;
                once(&mut self.policies, "policy", name, document)
            }
            "Grant" => {
                let (name, grant) = grant(members)?;
                once(&mut self.grants, "grant", name, grant)
            }
            other => {
                let shown: String = other.chars().take(64).collect();
                let hint = nearest(&shown, &KINDS);
                Err(Fault::new("/kind", format!("unknown kind {shown:?}{hint}")))
            }
        }
    }
}

fn once<K: Ord + std::fmt::Display, V>(
    documents: &mut BTreeMap<K, V>,
    kind: &str,
    name: K,
    document: V,
) -> Result<(), Fault> {
    if documents.contains_key(&name) {
        return Err(Fault::new(
            "/name",
            format!("{kind} {name} has another document"),
        ));
    }
    documents.insert(name, document);
    Ok(())
}

fn server(mut members: Members<'_>) -> Result<(Name, ServerDocument), Fault> {
    let name: Name = named(members.text("name")?, "/name")?;
    let url = Upstream::new(members.text("url")?)
        .map_err(|error| Fault::new("/url", error.to_string()))?;
    let mut spec = ServerSpec::new(name.clone(), url);
    spec.tasks = members.flag("tasks")?;
    spec.grant_label = members.flag("grant_label")?;
    if let Some(text) = members.optional_text("refund")? {
        spec.refund = refund(text)?;
    }
    if let Some(value) = members.take("methods") {
        spec.methods = methods(value)?;
    }
    let credential = match members.take("credential") {
        None => CredentialSource::Unsaid,
        Some(value) => credential_source(value)?,
    };
    members.finish()?;
    spec.check()
        .map_err(|(place, message)| Fault::new(&place, message))?;
    Ok((name, ServerDocument { spec, credential }))
}

fn policy(mut members: Members<'_>) -> Result<(Name, Document), Fault> {
    let name = named(members.text("name")?, "/name")?;
    let text = match members.required("document")? {
        Value::String(text) => text.clone(),
        value @ Value::Object(_) => {
            serde_json::to_string_pretty(value).expect("a JSON value has a JSON form")
        }
        other => {
            return Err(wrong_type(
                "/document",
                "an object, or its JSON text",
                other,
            ));
        }
    };
    members.finish()?;
    let document = Document::new(&text);
    document
        .compile()
        .map_err(|message| Fault::new("/document", message))?;
    Ok((name, document))
}

fn grant(mut members: Members<'_>) -> Result<(GrantName, GrantDocument), Fault> {
    let name = named(members.text("name")?, "/name")?;
    let server = named(members.text("server")?, "/server")?;
    let policy = members
        .optional_text("policy")?
        .map(|text| named(text, "/policy"))
        .transpose()?;
    let expires_at_ms = match members.optional_text("expires_at")? {
        None => None,
        Some(text) => {
            let message = "expected an instant in UTC such as \"2027-01-31T00:00:00Z\"";
            Some(timestamp::parse(text).ok_or_else(|| Fault::new("/expires_at", message))?)
        }
    };
    members.finish()?;
    Ok((
        name,
        GrantDocument {
            server,
            policy,
            expires_at_ms,
        },
    ))
}

fn named<T: std::str::FromStr<Err = NameError>>(text: &str, place: &str) -> Result<T, Fault> {
    text.parse()
        .map_err(|error: NameError| Fault::new(place, error.to_string()))
}

fn refund(text: &str) -> Result<Refund, Fault> {
    Refund::ALL
        .into_iter()
        .find(|refund| refund.as_str() == text)
        .ok_or_else(|| {
            let known = Refund::ALL.map(Refund::as_str);
            Fault::new(
                "/refund",
                format!("unknown refund{}", nearest(text, &known)),
            )
        })
}

fn methods(value: &Value) -> Result<BTreeSet<String>, Fault> {
    let Value::Array(items) = value else {
        return Err(wrong_type("/methods", "an array of strings", value));
    };
    if items.len() > METHODS_MAX {
        let message = format!("a server allows at most {METHODS_MAX} further methods");
        return Err(Fault::new("/methods", message));
    }
    let mut methods = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let place = format!("/methods/{index}");
        if !methods.insert(as_text(item, &place)?.to_owned()) {
            return Err(Fault::new(&place, "the method appears twice"));
        }
    }
    Ok(methods)
}

fn credential_source(value: &Value) -> Result<CredentialSource, Fault> {
    let mut members = Members::of(value, "/credential")?;
    let Some(headers) = members.take("headers") else {
        members.finish()?;
        return Ok(CredentialSource::Empty);
    };
    let place = members.place_of("headers");
    members.finish()?;
    let Value::Object(headers) = headers else {
        return Err(wrong_type(&place, "an object", headers));
    };
    if headers.len() > CREDENTIAL_HEADERS_MAX {
        let message = format!("a credential has at most {CREDENTIAL_HEADERS_MAX} headers");
        return Err(Fault::new(&place, message));
    }
    let mut sources = BTreeMap::new();
    for (name, value) in headers {
        let shown: String = name.chars().take(64).collect();
        let place = pointer(&place, &shown);
        let name =
            credential::check_name(name).map_err(|error| Fault::new(&place, error.to_string()))?;
        if sources
            .insert(name, secret_source(value, &place)?)
            .is_some()
        {
            return Err(Fault::new(
                &place,
                "the header appears twice, in different case",
            ));
        }
    }
    match sources.is_empty() {
        true => Ok(CredentialSource::Empty),
        false => Ok(CredentialSource::Headers(sources)),
    }
}

/// Exactly one of `env` and `file`. A value in the document itself is refused.
fn secret_source(value: &Value, place: &str) -> Result<SecretSource, Fault> {
    if value.is_string() {
        let message =
            "a document holds no secrets: use {\"env\": \"NAME\"} or {\"file\": \"PATH\"}";
        return Err(Fault::new(place, message));
    }
    let mut members = Members::of(value, place)?;
    let (env, file) = (
        members.optional_text("env")?,
        members.optional_text("file")?,
    );
    members.finish()?;
    match (env, file) {
        (Some(name), None) if !name.is_empty() => Ok(SecretSource::Env(name.to_owned())),
        (None, Some(path)) if !path.is_empty() => Ok(SecretSource::File(path.to_owned())),
        _ => Err(Fault::new(place, "expected one of \"env\" and \"file\"")),
    }
}
