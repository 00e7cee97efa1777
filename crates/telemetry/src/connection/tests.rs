use super::*;
use crate::exposition::BuildInfo;

#[test]
fn connections_and_certificates_show_under_their_names() {
    let exposition = Exposition::new(&BuildInfo {
        version: "1".into(),
        revision: "r".into(),
    });
    let listener = ListenerMetrics::new(&exposition, Listener::Peers);
    listener.open(3);
    listener.refused(ConnectionRefusal::Handshake);
    listener.call_refused(CallRefusal::Role);
    let certificate = CertificateMetrics::new(&exposition, Certificate::Peers);
    certificate.expires(1_900_000_000);
    certificate.reload(Reload::Refused);
    let text = exposition.render();
    for line in [
        "quotum_connections_open{listener=\"peers\"} 3",
        "quotum_connections_refused_total{listener=\"peers\",reason=\"handshake\"} 1",
        "quotum_connections_refused_total{listener=\"peers\",reason=\"address\"} 0",
        "quotum_calls_refused_total{listener=\"peers\",reason=\"role\"} 1",
        "quotum_tls_certificate_expiry_timestamp_seconds{certificate=\"peers\"} 1900000000",
        "quotum_tls_reloads_total{certificate=\"peers\",outcome=\"refused\"} 1",
        "quotum_tls_reloads_total{certificate=\"peers\",outcome=\"loaded\"} 0",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
