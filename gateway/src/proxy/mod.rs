//! Requests: Pingora's `ProxyHttp` filters over one snapshot. Decisions are in pure siblings; this module only carries them out.
