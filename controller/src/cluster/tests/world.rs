//! A cluster to plan for: objects as JSON, which passes read and writes change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::{Memory, Outcome, Pass, Plan, Settings, Write, plan};
use crate::compile::{self, Facts, compile};
use crate::config::{Config, Pool, Zone};
use crate::problem::Problem;
use crate::status::{Basis, View};

/// 2026-11-24T06:00:00Z, and when objects are created unless they say otherwise.
pub(super) const NOW: i64 = 1_795_500_000;

pub(super) struct World {
    objects: BTreeMap<String, Value>,
    version: u64,
    pub(super) config: Config,
    pub(super) settings: Settings,
    pub(super) memory: Memory,
    pub(super) now: Timestamp,
    pub(super) told: Vec<Problem>,
    pub(super) orders_known: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let mut config = Config::default();
        config.gateway.public_addresses = vec!["192.0.2.10".parse().unwrap()];
        config.dns.zones = vec![Zone::named("dyn.example.org")];
        config.addresses.pools = vec![Pool { name: "public".into(), ranges: vec!["198.51.100.0/30".into()], auto_assign: true }];
        let mut world = Self {
            objects: BTreeMap::new(),
            version: 100,
            config,
            settings: Settings { instance: "vrata-0".into(), ..Settings::default() },
            memory: Memory::default(),
            now: Timestamp::from_second(NOW).unwrap(),
            told: Vec::new(),
            orders_known: true,
        };
        world.apply(&json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}));
        world
    }

    /// What a user or another controller applies; a status that is left out stays.
    pub(super) fn apply(&mut self, object: &Value) {
        let id = id(object);
        let mut object = object.clone();
        self.version += 1;
        let before = self.objects.get(&id);
        let uid = before.map_or_else(|| format!("uid-of-{id}").into(), |before| before["metadata"]["uid"].clone());
        if let (None, Some(status)) = (object.get("status"), before.and_then(|before| before.get("status"))) {
            object["status"] = status.clone();
        }
        if let Some(fields) = before.and_then(|before| before["metadata"].get("managedFields")) {
            object["metadata"]["managedFields"] = fields.clone();
        }
        let meta = &mut object["metadata"];
        meta["uid"] = uid;
        meta["resourceVersion"] = self.version.to_string().into();
        if meta.get("creationTimestamp").is_none() {
            meta["creationTimestamp"] = "2026-11-24T06:00:00Z".into();
        }
        self.objects.insert(id, object);
    }

    pub(super) fn delete(&mut self, id: &str) {
        self.objects.remove(id).unwrap();
    }

    /// What another controller writes by force over the addresses of a status; from then on they are its own.
    pub(super) fn overwrite(&mut self, id: &str, manager: &str, addresses: &[&str]) {
        self.version += 1;
        let object = self.objects.get_mut(id).unwrap();
        let entries: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
        object["status"]["loadBalancer"] = json!({"ingress": entries});
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["annotations"]["owned-by"] = manager.into();
        object["metadata"]["managedFields"] = managed(&json!({"conditions": []}));
    }

    /// The other controller is gone, and what it wrote with it.
    pub(super) fn hand_over(&mut self, id: &str) {
        self.version += 1;
        let object = self.objects.get_mut(id).unwrap();
        object["status"]["loadBalancer"] = json!({});
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["annotations"].as_object_mut().unwrap().remove("owned-by");
    }

    pub(super) fn status(&self, id: &str) -> &Value {
        &self.objects[id]["status"]
    }

    /// The objects there are.
    pub(super) fn ids(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    pub(super) fn object(&self, id: &str) -> Value {
        self.objects[id].clone()
    }

    pub(super) fn pass(&self) -> Pass {
        let mut read = crate::source::kubernetes::mirrored(self.objects.values().cloned());
        read.problems.clear();
        let mut settings = compile::Settings::from_config(&self.config, &BTreeMap::new()).unwrap();
        settings.serves_held_only = true;
        let allocations = crate::addresses::held_allocations(&crate::objects::Balancers::among(&read.objects.services), &settings.pools);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.now.as_second()).unwrap());
        let compiled = compile(&read.objects, &settings, &Facts { allocations, now, ..Facts::default() });
        let mut problems = compiled.problems;
        problems.retain(|problem| problem.reason != crate::problem::Reason::NoEndpoints);
        problems.extend_from_slice(&self.told);
        let read = Arc::new(read);
        let basis = Basis { settings: Arc::new(settings), read: read.clone(), rules: compiled.ownership, standing: compiled.standing };
        let view = View { report: compiled.report, problems, basis: Some(basis), ..View::default() };
        Pass { read, view: Arc::new(view), allocations: compiled.allocations, public: compiled.public, orders_known: self.orders_known }
    }

    /// What is planned once problems have stood for a moment.
    pub(super) fn plan(&mut self) -> Plan {
        let pass = self.pass();
        self.now += SignedDuration::from_secs(1);
        let _ = plan(&pass, &self.settings, &mut self.memory, self.now);
        self.now += SignedDuration::from_secs(2);
        plan(&pass, &self.settings, &mut self.memory, self.now)
    }

    /// Plans, and carries everything out as an API server would. Says what was done, a line each.
    pub(super) fn step(&mut self) -> Vec<String> {
        let plan = self.plan();
        for write in &plan.writes {
            self.memory.started(write);
            let outcome = self.carry_out(write);
            self.memory.finished(write, &outcome, self.now);
        }
        self.told = self.memory.problems();
        plan.writes.iter().map(line).collect()
    }

    /// Steps until nothing is left to do.
    pub(super) fn settle(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..10 {
            let step = self.step();
            if step.is_empty() {
                return lines;
            }
            lines.extend(step);
        }
        panic!("it does not settle: {lines:#?}");
    }

    pub(super) fn carry_out(&mut self, write: &Write) -> Outcome {
        let Write::Status(write) = write else { return Outcome::Written };
        let id = format!("{} {}", write.target.kind.name(), write.target.key);
        let Some(object) = self.objects.get_mut(&id) else { return Outcome::Stale };
        if object["metadata"]["resourceVersion"] != write.resource_version.as_str() || object["metadata"]["uid"] != write.uid.as_str() {
            return Outcome::Stale;
        }
        let has_addresses = write.status.get("loadBalancer").is_some();
        if let Some(owner) = object["metadata"]["annotations"].get("owned-by").filter(|_| has_addresses) {
            return Outcome::Conflict(vec![owner.as_str().unwrap().to_owned()]);
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let owned = object["metadata"]["managedFields"].to_string().contains("f:loadBalancer");
        let others = object["status"].get("loadBalancer").filter(|_| !owned).cloned();
        object["status"] = write.status.clone();
        if let (None, Some(others)) = (write.status.get("loadBalancer"), others) {
            object["status"]["loadBalancer"] = others;
        }
        object["metadata"]["managedFields"] = managed(&write.status);
        Outcome::Written
    }
}

/// What an API server notes of who applied this status.
pub(super) fn managed(status: &Value) -> Value {
    let fields: BTreeMap<String, Value> = status.as_object().into_iter().flatten().map(|(key, _)| (format!("f:{key}"), json!({}))).collect();
    json!([{"manager": "vrata", "operation": "Apply", "subresource": "status", "apiVersion": "v1", "fieldsV1": {"f:status": fields}}])
}

fn id(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, namespace, name) = (text(&object["kind"]), text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}

pub(super) fn line(write: &Write) -> String {
    match write {
        Write::Status(write) => {
            let entries = write.status.pointer("/loadBalancer/ingress").and_then(Value::as_array);
            let texts = entries.into_iter().flatten().map(|entry| entry["ip"].as_str().or_else(|| entry["hostname"].as_str()).unwrap().to_owned());
            let told = write.status.pointer("/conditions/0").filter(|told| told["type"] == "Ready" || told["status"] == "False");
            let told = told.map(|told| format!("{}={} {}", told["type"], told["status"], told["reason"]).replace('"', "").replace("vrata.io/", ""));
            let says = texts.chain(told).collect::<Vec<_>>().join(",");
            format!("{} {} = {says}", write.target.kind.name(), write.target.key)
        }
        Write::Event(event) => {
            let (kind, again) = (if event.warning { "Warning" } else { "Normal" }, if event.again { " again" } else { "" });
            format!("{kind} {}{again} {} {}/{}", event.reason, event.regarding.kind, event.regarding.namespace, event.regarding.name)
        }
    }
}

pub(super) fn ingress(namespace: &str, name: &str, class: &str, host: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": namespace, "name": name},
        "spec": {"ingressClassName": class, "rules": [{"host": host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]},
    })
}

pub(super) fn backend(namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": "web"}, "spec": {"ports": [{"port": 80}]}})
}

pub(super) fn balancer(namespace: &str, name: &str, annotations: &Value, ports: &[u16]) -> Value {
    let ports: Vec<Value> = ports.iter().map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "spec": {"type": "LoadBalancer", "ports": ports}})
}
