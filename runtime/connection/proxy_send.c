/* SPDX-License-Identifier: MIT
 *
 * The PROXY header that a target gets: who the client is, and what is known of its TLS. What came in front of the
 * client's bytes is proxy_header.c's. */
#include "connection/corridor.h"
#include "connection/proxied.h"
#include "net/proxy_protocol.h"
#include "tls/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Flags of PP2_TYPE_SSL, and how much of it is written. */
enum { CLIENT_SSL = 1, CLIENT_CERT_CONN = 2, CLIENT_CERT_SESS = 4, COMMON_NAME_MOST = 256, SSL_TLV_MOST = 512 };

/* What the client had connected to, as the header that it came with says, or its socket. A spec's client has an
 * address, but no socket that knows of one: it has connected to loopback. */
static void find_destination(const struct connection *connection, struct ip_address *destination) {
  struct sockaddr_storage local;
  socklen_t length = sizeof local;
  *destination = (struct ip_address){.is_set = false};
  if (connection->proxied && connection->proxied->destination.is_set)
    *destination = connection->proxied->destination;
  else if (getsockname(connection->client.fd, (struct sockaddr *)&local, &length) == 0)
    ip_address_from_sockaddr(destination, (const struct sockaddr *)&local);
  if (destination->is_set || !connection->client_address.is_set)
    return;
  const struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  bool is_ipv4 = ip_address_is_ipv4(&connection->client_address);
  ip_address_from_sockaddr(destination, is_ipv4 ? (const struct sockaddr *)(const void *)&ipv4 : (const void *)&ipv6);
  destination->port = connection->port;
}

static bool has_tlv(const struct route_proxy_send *send_as, uint8_t type) {
  size_t at = 0;
  struct proxy_tlv tlv;
  while (proxy_tlv_next(send_as->tlvs, send_as->tlvs_size, &at, &tlv))
    if (tlv.type == type)
      return true;
  return false;
}

/* Passes on what the hop before us has said: the id that it has given the connection, for logs along the way; and,
 * with `tls`, what it has ended of TLS. Nobody behind us can know it otherwise. */
static void pass_tlvs(struct proxy_writer *writer, const struct proxied *proxied,
                      const struct route_proxy_send *send_as, bool tls) {
  size_t at = 0;
  struct proxy_tlv tlv;
  while (proxy_tlv_next(proxied->tlvs, proxied->tlvs_size, &at, &tlv)) {
    bool is_tls = tlv.type == PROXY_TLV_ALPN || tlv.type == PROXY_TLV_AUTHORITY || tlv.type == PROXY_TLV_SSL;
    bool passes = tlv.type == PROXY_TLV_UNIQUE_ID || (is_tls && tls);
    if (passes && !has_tlv(send_as, tlv.type) && writer->room - writer->size >= PROXY_TLV_HEAD + (size_t)tlv.size)
      proxy_v2_add(writer, tlv.type, tlv.value, tlv.size);
  }
}

static void add_unless_own(struct proxy_writer *writer, const struct route_proxy_send *send_as, uint8_t type,
                           const void *value, size_t size) {
  if (size > 0 && !has_tlv(send_as, type))
    proxy_v2_add(writer, type, value, size);
}

static void add_text(struct proxy_writer *writer, uint8_t type, const char *text) {
  if (text)
    proxy_v2_add(writer, type, text, strlen(text));
}

/* What a handler of ours has agreed upon with the client (PP2_TYPE_SSL, section 2.2.6). */
static void write_agreement(struct proxy_writer *writer, const struct stream *client,
                            const struct route_proxy_send *send_as) {
  struct tls_agreement agreement;
  char name[COMMON_NAME_MOST];
  uint8_t value[SSL_TLV_MOST];
  struct proxy_writer inner = {.bytes = value, .room = sizeof value};
  tls_stream_agreement(client, &agreement);
  uint8_t flags = CLIENT_SSL | (agreement.peer_verified ? CLIENT_CERT_CONN | CLIENT_CERT_SESS : 0);
  proxy_v2_put(&inner, (uint8_t[]){flags, 0, 0, 0, agreement.peer_verified ? 0 : 1}, 5);
  add_text(&inner, PROXY_TLV_SSL_VERSION, agreement.version);
  add_text(&inner, PROXY_TLV_SSL_CIPHER, agreement.cipher);
  size_t name_size = agreement.peer_verified ? tls_stream_peer_name(client, name, sizeof name) : 0;
  if (name_size > 0)
    proxy_v2_add(&inner, PROXY_TLV_SSL_CN, name, name_size);
  add_unless_own(writer, send_as, PROXY_TLV_ALPN, agreement.alpn, agreement.alpn_size);
  if (agreement.server_name)
    add_unless_own(writer, send_as, PROXY_TLV_AUTHORITY, agreement.server_name, strlen(agreement.server_name));
  if (inner.size <= inner.room)
    add_unless_own(writer, send_as, PROXY_TLV_SSL, value, inner.size);
}

/* Of TLS that passes through us we know the name that the client asked for; which protocol and cipher the two agree on
 * they say under encryption. */
static size_t write_v2(const struct exchange *exchange, uint8_t *bytes, size_t room,
                       const struct ip_address *destination) {
  const struct connection *connection = exchange->connection;
  const struct route_proxy_send *send_as = &exchange->route->proxy_send;
  const struct sniffed *sniffed = connection->sniffed;
  struct proxy_writer writer;
  proxy_v2_begin(&writer, bytes, room, &connection->client_address, destination);
  proxy_v2_put(&writer, send_as->tlvs, send_as->tlvs_size);
  bool is_tls = tls_stream_is(exchange->client);
  if (is_tls)
    write_agreement(&writer, exchange->client, send_as);
  else if (sniffed)
    add_unless_own(&writer, send_as, PROXY_TLV_AUTHORITY, sniffed->text, sniffed->domain_size);
  if (connection->proxied)
    pass_tlvs(&writer, connection->proxied, send_as, !is_tls && !sniffed);
  return proxy_v2_end(&writer);
}

/* The client's first bytes are there, and are going to be written as soon as the two sides are joined: the header goes
 * with them, in one segment. What TLS holds can't be seen by looking at the socket. */
static bool has_first_bytes(struct exchange *exchange) {
  struct stream *client = exchange->client;
  uint8_t byte;
  if (tls_stream_is(client))
    return false;
  return client->unread || ((client->readiness & STREAM_READABLE) && stream_peek(client, &byte, sizeof byte) > 0);
}

/* A socket that has just connected takes it whole, or it is broken. */
int proxy_header_send(struct exchange *exchange, int fd) {
  const struct connection *connection = exchange->connection;
  const struct route_proxy_send *send_as = &exchange->route->proxy_send;
  struct ip_address destination;
  uint8_t bytes[PROXY_MOST];
  find_destination(connection, &destination);
  size_t size = send_as->version == 1 ? proxy_v1_write((char *)bytes, &connection->client_address, &destination)
                                      : write_v2(exchange, bytes, sizeof bytes, &destination);
  if (size == 0)
    return -EMSGSIZE; /* the schema bounds a route's TLVs, so that it can't be */
  ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL | (has_first_bytes(exchange) ? MSG_MORE : 0));
  if (sent > 0)
    connection->worker->metrics->worker.overhead[OVERHEAD_PROXY_HEADER].out += (size_t)sent;
  return sent == (ssize_t)size ? 0 : sent < 0 ? -errno : -EIO;
}
