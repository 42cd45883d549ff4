//! The packets a case sends, as it writes them: owned, with names relative to the case.
//!
//! `publish("door/1", "open").exactly_once(7)` is legal by construction. What must be illegal comes from
//! [`crate::forge`], applied to the wire form of one of these by [`Script::wire`], or is written as [`Raw`] bytes.

use harness::case::Stop;

use super::testbed::Testbed;
use crate::codec;
use crate::forge::Forged;
use crate::packet::{
    Ack, Auth, Connect, Disconnect, FilterBuf, Packet, PacketId, PacketType, Properties, Property, PropertyBuf,
    Publish, QoS, ReasonCode, Subscribe, SubscriptionBuf, SubscriptionOptions, Unsubscribe, Will,
};

/// Something a case can send.
pub trait Script {
    /// Its wire form under the testbed's version, with the case's own names filled in.
    ///
    /// # Errors
    /// [`Stop::Broken`] where this version has no such packet: the case is wrong.
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop>;

    /// Whether it is meant to be legal, and so must keep to the limits that the target announced.
    fn is_legal(&self) -> bool {
        true
    }
}

impl<S: Script> Script for &S {
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop> {
        (*self).wire(testbed)
    }

    fn is_legal(&self) -> bool {
        (*self).is_legal()
    }
}

/// Every script with properties takes them one by one.
macro_rules! with_properties {
    ($($script:ident)*) => {
        $(
            impl $script {
                /// With one property more (5.0; left out before).
                #[must_use]
                pub fn with(mut self, property: Property<'_>) -> Self {
                    self.properties.push(property);
                    self
                }
            }
        )*
    };
}

with_properties! { PublishScript AckScript SubscribeScript UnsubscribeScript ReasonScript WillScript ConnectScript }

/// Bytes as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub Vec<u8>);

impl Script for Raw {
    fn wire(&self, _: &Testbed) -> Result<Vec<u8>, Stop> {
        Ok(self.0.clone())
    }

    fn is_legal(&self) -> bool {
        false
    }
}

/// A SUBSCRIBE, UNSUBSCRIBE or PUBREL with DUP set, as 3.1 has it sent again; later versions have no such packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again<S>(pub S);

impl<S: Script> Script for Again<S> {
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop> {
        Ok(Forged::from_frame(&self.0.wire(testbed)?).flags(0b1010).bytes())
    }
}

fn encoded(testbed: &Testbed, packet: &Packet<'_>) -> Result<Vec<u8>, Stop> {
    let mut out = Vec::new();
    codec::encode(packet, testbed.version(), &mut out)
        .map_err(|misuse| Stop::Broken(format!("the case sends what no packet can carry: {misuse}")))?;
    Ok(out)
}

fn identifier(number: u16) -> Result<PacketId, Stop> {
    PacketId::new(number).ok_or_else(|| Stop::Broken("the case uses packet identifier 0 in a legal packet".into()))
}

/// Properties that 5.0 carries and earlier versions leave out: a case that is about more than one version writes
/// them once.
fn properties<'a>(testbed: &Testbed, list: &'a PropertyBuf) -> Properties<'a> {
    if testbed.version().has_properties() { list.view() } else { Properties::EMPTY }
}

/// A PUBLISH to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishScript {
    pub(super) topic: String,
    pub(super) exact: bool,
    pub(super) payload: Vec<u8>,
    pub(super) qos: QoS,
    pub(super) id: u16,
    pub(super) dup: bool,
    pub(super) retain: bool,
    pub(super) properties: PropertyBuf,
}

/// A PUBLISH at QoS 0 to this topic of the case.
pub fn publish(topic: &str, payload: impl AsRef<[u8]>) -> PublishScript {
    PublishScript {
        topic: topic.into(),
        exact: false,
        payload: payload.as_ref().into(),
        qos: QoS::AtMostOnce,
        id: 0,
        dup: false,
        retain: false,
        properties: PropertyBuf::new(),
    }
}

impl PublishScript {
    /// At QoS 1 with this packet identifier.
    #[must_use]
    pub fn at_least_once(mut self, id: u16) -> Self {
        (self.qos, self.id) = (QoS::AtLeastOnce, id);
        self
    }

    /// At QoS 2 with this packet identifier.
    #[must_use]
    pub fn exactly_once(mut self, id: u16) -> Self {
        (self.qos, self.id) = (QoS::ExactlyOnce, id);
        self
    }

    /// At this quality of service; the identifier is ignored at QoS 0.
    #[must_use]
    pub fn at(mut self, qos: QoS, id: u16) -> Self {
        (self.qos, self.id) = (qos, id);
        self
    }

    /// To be stored.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// The same packet with DUP set.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { dup: true, ..self.clone() }
    }

    /// The topic name is not the case's own but exactly this.
    #[must_use]
    pub fn exact(mut self) -> Self {
        self.exact = true;
        self
    }
}

impl Script for PublishScript {
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop> {
        let topic = if self.exact || self.topic.is_empty() { self.topic.clone() } else { testbed.topic(&self.topic) };
        if self.retain && !self.payload.is_empty() && !topic.is_empty() {
            testbed.remember_retained(&topic);
        }
        let packet_id = if self.qos == QoS::AtMostOnce { None } else { Some(identifier(self.id)?) };
        encoded(
            testbed,
            &Packet::Publish(Publish {
                dup: self.dup,
                qos: self.qos,
                retain: self.retain,
                topic: &topic,
                packet_id,
                properties: properties(testbed, &self.properties),
                payload: &self.payload,
            }),
        )
    }
}

/// An acknowledgement to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckScript {
    packet_type: PacketType,
    id: u16,
    reason: ReasonCode,
    properties: PropertyBuf,
}

/// A PUBACK to send.
pub fn puback(id: u16) -> AckScript {
    ack(PacketType::PubAck, id)
}

/// A PUBREC to send.
pub fn pubrec(id: u16) -> AckScript {
    ack(PacketType::PubRec, id)
}

/// A PUBREL to send.
pub fn pubrel(id: u16) -> AckScript {
    ack(PacketType::PubRel, id)
}

/// A PUBCOMP to send.
pub fn pubcomp(id: u16) -> AckScript {
    ack(PacketType::PubComp, id)
}

fn ack(packet_type: PacketType, id: u16) -> AckScript {
    AckScript { packet_type, id, reason: ReasonCode::Success, properties: PropertyBuf::new() }
}

impl AckScript {
    /// With this reason code (5.0).
    #[must_use]
    pub fn because(mut self, reason: ReasonCode) -> Self {
        self.reason = reason;
        self
    }
}

impl Script for AckScript {
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop> {
        let packet_id = identifier(self.id)?;
        let properties = properties(testbed, &self.properties);
        let ack = Ack { packet_id, reason: self.reason, properties };
        let packet = match self.packet_type {
            PacketType::PubAck => Packet::PubAck(ack),
            PacketType::PubRec => Packet::PubRec(ack),
            PacketType::PubRel => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        };
        encoded(testbed, &packet)
    }
}

/// A SUBSCRIBE to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeScript {
    pub(super) id: u16,
    pub(super) filters: Vec<(String, SubscriptionOptions, bool)>,
    properties: PropertyBuf,
}

/// A SUBSCRIBE with this packet identifier and, as yet, no filter.
pub fn subscribe(id: u16) -> SubscribeScript {
    SubscribeScript { id, filters: Vec::new(), properties: PropertyBuf::new() }
}

impl SubscribeScript {
    /// To one filter more; `$share/group/filter` is put among the case's own names too.
    #[must_use]
    pub fn to(self, filter: &str, qos: QoS) -> Self {
        self.with_options(filter, SubscriptionOptions::qos(qos))
    }

    /// To one filter more, with options of 5.0.
    #[must_use]
    pub fn with_options(mut self, filter: &str, options: SubscriptionOptions) -> Self {
        self.filters.push((filter.into(), options, false));
        self
    }

    /// To one filter more that is not the case's own but exactly this.
    #[must_use]
    pub fn to_exactly(mut self, filter: &str, qos: QoS) -> Self {
        self.filters.push((filter.into(), SubscriptionOptions::qos(qos), true));
        self
    }
}

impl Script for SubscribeScript {
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop> {
        let list = self.filters.iter().fold(SubscriptionBuf::new(), |list, (filter, options, exact)| {
            let filter = if *exact { filter.clone() } else { testbed.filter(filter) };
            list.with(&filter, *options)
        });
        encoded(
            testbed,
            &Packet::Subscribe(Subscribe {
                packet_id: identifier(self.id)?,
                properties: properties(testbed, &self.properties),
                subscriptions: list.view(),
            }),
        )
    }
}

/// An UNSUBSCRIBE to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeScript {
    id: u16,
    filters: Vec<String>,
    properties: PropertyBuf,
}

/// An UNSUBSCRIBE with this packet identifier from these filters of the case.
pub fn unsubscribe<'a>(id: u16, filters: impl IntoIterator<Item = &'a str>) -> UnsubscribeScript {
    let filters = filters.into_iter().map(String::from).collect();
    UnsubscribeScript { id, filters, properties: PropertyBuf::new() }
}

impl Script for UnsubscribeScript {
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop> {
        let list = self.filters.iter().fold(FilterBuf::new(), |list, filter| list.with(&testbed.filter(filter)));
        encoded(
            testbed,
            &Packet::Unsubscribe(Unsubscribe {
                packet_id: identifier(self.id)?,
                properties: properties(testbed, &self.properties),
                filters: list.view(),
            }),
        )
    }
}

/// PINGREQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingReq;

impl Script for PingReq {
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop> {
        encoded(testbed, &Packet::PingReq)
    }
}

/// A DISCONNECT or AUTH to send: a reason and properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonScript {
    auth: bool,
    reason: ReasonCode,
    properties: PropertyBuf,
}

/// A DISCONNECT that says normal disconnection.
pub fn disconnect() -> ReasonScript {
    ReasonScript { auth: false, reason: ReasonCode::Success, properties: PropertyBuf::new() }
}

/// An AUTH (5.0).
pub fn auth(reason: ReasonCode) -> ReasonScript {
    ReasonScript { auth: true, reason, properties: PropertyBuf::new() }
}

impl ReasonScript {
    /// With this reason code (5.0).
    #[must_use]
    pub fn because(mut self, reason: ReasonCode) -> Self {
        self.reason = reason;
        self
    }
}

impl Script for ReasonScript {
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop> {
        let (reason, properties) = (self.reason, properties(testbed, &self.properties));
        let packet = if self.auth {
            Packet::Auth(Auth { reason, properties })
        } else {
            Packet::Disconnect(Disconnect { reason, properties })
        };
        encoded(testbed, &packet)
    }
}

/// A will inside a CONNECT to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillScript {
    topic: String,
    payload: Vec<u8>,
    qos: QoS,
    retain: bool,
    properties: PropertyBuf,
}

/// A will at QoS 0 to this topic of the case.
pub fn will(topic: &str, payload: impl AsRef<[u8]>) -> WillScript {
    WillScript {
        topic: topic.into(),
        payload: payload.as_ref().into(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: PropertyBuf::new(),
    }
}

impl WillScript {
    /// At this quality of service.
    #[must_use]
    pub fn at(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// To be stored.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }
}

/// A CONNECT to send. The client identifier is the case's own unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectScript {
    pub(super) client_id: String,
    pub(super) clean: bool,
    pub(super) keep_alive: u16,
    will: Option<WillScript>,
    login: Option<(Option<String>, Option<Vec<u8>>)>,
    pub(super) properties: PropertyBuf,
}

impl ConnectScript {
    pub(super) fn new(client_id: String) -> Self {
        let properties = PropertyBuf::new();
        Self { client_id, clean: true, keep_alive: 60, will: None, login: None, properties }
    }

    /// With this client identifier, exactly.
    #[must_use]
    pub fn client_id(mut self, id: &str) -> Self {
        self.client_id = id.into();
        self
    }

    /// With Clean Start (Clean Session before 5.0) set so; it is set by default.
    #[must_use]
    pub fn clean(mut self, clean: bool) -> Self {
        self.clean = clean;
        self
    }

    /// With this keep alive in seconds; 60 by default.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// With a will.
    #[must_use]
    pub fn will(mut self, will: WillScript) -> Self {
        self.will = Some(will);
        self
    }

    /// With these credentials in place of the run's own; `None` leaves a field out.
    #[must_use]
    pub fn login(mut self, username: Option<&str>, password: Option<&[u8]>) -> Self {
        self.login = Some((username.map(Into::into), password.map(Into::into)));
        self
    }
}

impl Script for ConnectScript {
    fn wire(&self, testbed: &Testbed) -> Result<Vec<u8>, Stop> {
        if !self.clean || self.properties.view().session_expiry_interval().is_some() {
            testbed.remember_session(&self.client_id);
        }
        let topic = self.will.as_ref().map(|will| testbed.topic(&will.topic));
        let will = self.will.as_ref().zip(topic.as_ref()).map(|(will, topic)| {
            if will.retain {
                testbed.remember_retained(topic);
            }
            Will {
                topic,
                payload: &will.payload,
                qos: will.qos,
                retain: will.retain,
                properties: properties(testbed, &will.properties),
            }
        });
        let own = testbed.login();
        let (username, password) = match &self.login {
            Some((username, password)) => (username.as_deref(), password.as_deref()),
            None => (own.map(|l| l.username.as_str()), own.map(|l| l.password.as_slice())),
        };
        encoded(
            testbed,
            &Packet::Connect(Connect {
                version: testbed.version(),
                clean_start: self.clean,
                keep_alive: self.keep_alive,
                client_id: &self.client_id,
                will,
                username,
                password,
                properties: properties(testbed, &self.properties),
            }),
        )
    }
}
