/* SPDX-License-Identifier: MIT
 *
 * Text to socket addresses and back. Without getaddrinfo(3) and getnameinfo(3), which may look things up. */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* Copies, for what sockaddr points to need not be aligned for its family's structure. */
static struct sockaddr_in in_of(const void *sockaddr) {
  struct sockaddr_in in;
  memcpy(&in, sockaddr, sizeof in);
  return in;
}

static struct sockaddr_in6 in6_of(const void *sockaddr) {
  struct sockaddr_in6 in6;
  memcpy(&in6, sockaddr, sizeof in6);
  return in6;
}

void ip_address_from_sockaddr(struct ip_address *address, const struct sockaddr *sockaddr) {
  memset(address, 0, sizeof *address);
  if (sockaddr->sa_family == AF_INET) {
    struct sockaddr_in in = in_of(sockaddr);
    memcpy(address->bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(address->bytes + sizeof mapped_prefix, &in.sin_addr, 4);
    address->port = ntohs(in.sin_port);
    address->is_set = true;
  } else if (sockaddr->sa_family == AF_INET6) {
    struct sockaddr_in6 in6 = in6_of(sockaddr);
    memcpy(address->bytes, &in6.sin6_addr, sizeof address->bytes);
    address->port = ntohs(in6.sin6_port);
    address->is_set = true;
  }
}

bool ip_address_is_ipv4(const struct ip_address *address) {
  return address->is_set && memcmp(address->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool ip_address_is_loopback(const struct ip_address *address) {
  if (ip_address_is_ipv4(address))
    return address->bytes[sizeof mapped_prefix] == 127;
  return address->is_set && memcmp(address->bytes, &in6addr_loopback, sizeof address->bytes) == 0;
}

const char *ip_address_format(const struct ip_address *address, char text[ADDRESS_TEXT_SIZE]) {
  text[0] = '\0';
  if (ip_address_is_ipv4(address))
    inet_ntop(AF_INET, address->bytes + sizeof mapped_prefix, text, ADDRESS_TEXT_SIZE);
  else if (address->is_set)
    inet_ntop(AF_INET6, address->bytes, text, ADDRESS_TEXT_SIZE);
  return text;
}

/* An interface's name or number; 0 when it is neither. */
static uint32_t scope_from_text(const char *text) {
  if (text[0] >= '0' && text[0] <= '9') {
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    return *end == '\0' && errno == 0 && number <= UINT32_MAX ? (uint32_t)number : 0;
  }
  return if_nametoindex(text);
}

static int ipv6_from_text(struct sockaddr_in6 *in6, const char *text, size_t size) {
  char copy[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
  if (size >= sizeof copy)
    return -EINVAL;
  memcpy(copy, text, size);
  copy[size] = '\0';
  char *scope = strchr(copy, '%');
  if (scope) {
    *scope++ = '\0';
    in6->sin6_scope_id = scope_from_text(scope);
    if (in6->sin6_scope_id == 0)
      return -EINVAL;
  }
  return inet_pton(AF_INET6, copy, &in6->sin6_addr) == 1 ? 0 : -EINVAL;
}

static int address_set_ipv4(struct endpoint *endpoint, const struct sockaddr_in *in) {
  memcpy(&endpoint->storage, in, sizeof *in);
  endpoint->length = sizeof *in;
  return 0;
}

int endpoint_from_literal(struct endpoint *endpoint, const char *host, uint16_t port) {
  memset(endpoint, 0, sizeof *endpoint);
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, host, &in.sin_addr) == 1)
    return address_set_ipv4(endpoint, &in);
  size_t size = strlen(host);
  if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
    host++;
    size -= 2;
  }
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  int status = ipv6_from_text(&in6, host, size);
  if (status != 0)
    return status;
  if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) { /* a socket for IPv6 alone could not have it */
    memcpy(&in.sin_addr, in6.sin6_addr.s6_addr + sizeof mapped_prefix, sizeof in.sin_addr);
    return address_set_ipv4(endpoint, &in);
  }
  memcpy(&endpoint->storage, &in6, sizeof in6);
  endpoint->length = sizeof in6;
  return 0;
}

void endpoint_from_address(struct endpoint *endpoint, const struct ip_address *address, uint16_t port) {
  memset(endpoint, 0, sizeof *endpoint);
  if (ip_address_is_ipv4(address)) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(&in.sin_addr, address->bytes + sizeof mapped_prefix, sizeof in.sin_addr);
    address_set_ipv4(endpoint, &in);
    return;
  }
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  memcpy(&in6.sin6_addr, address->bytes, sizeof in6.sin6_addr);
  memcpy(&endpoint->storage, &in6, sizeof in6);
  endpoint->length = sizeof in6;
}

bool ip_address_from_literal(struct ip_address *address, const char *host) {
  struct endpoint endpoint;
  memset(address, 0, sizeof *address);
  if (strchr(host, '%') || endpoint_from_literal(&endpoint, host, 0) != 0)
    return false;
  ip_address_from_sockaddr(address, (const struct sockaddr *)&endpoint.storage);
  return true;
}

int endpoint_from_unix_path(struct endpoint *endpoint, const char *path) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  size_t size = strlen(path);
  memset(endpoint, 0, sizeof *endpoint);
  if (size == 0)
    return -EINVAL;
  if (size >= sizeof un.sun_path)
    return -ENAMETOOLONG;
  memcpy(un.sun_path, path, size);
  memcpy(&endpoint->storage, &un, sizeof un);
  endpoint->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
  return 0;
}

static const char *unix_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_SIZE]) {
  struct sockaddr_un un;
  size_t start = offsetof(struct sockaddr_un, sun_path);
  memcpy(&un, &endpoint->storage, sizeof un);
  size_t size = endpoint->length > start ? endpoint->length - start : 0;
  if (size > sizeof un.sun_path)
    size = sizeof un.sun_path;
  /* Abstract names begin with a NUL (unix(7)); we make none, but may meet one. */
  bool abstract = size > 0 && un.sun_path[0] == '\0';
  size_t skipped = abstract ? 1 : 0;
  snprintf(text, ENDPOINT_TEXT_SIZE, "unix:%s%.*s", abstract ? "@" : "", (int)(size - skipped), un.sun_path + skipped);
  return text;
}

const char *endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_SIZE]) {
  if (endpoint->storage.ss_family == AF_UNIX)
    return unix_format(endpoint, text);
  struct ip_address address;
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&endpoint->storage);
  if (!address.is_set) {
    text[0] = '\0';
    return text;
  }
  char host[ADDRESS_TEXT_SIZE];
  ip_address_format(&address, host);
  if (ip_address_is_ipv4(&address)) {
    snprintf(text, ENDPOINT_TEXT_SIZE, "%s:%u", host, address.port);
    return text;
  }
  struct sockaddr_in6 in6 = in6_of(&endpoint->storage);
  char scope[IF_NAMESIZE + 1] = "";
  if (in6.sin6_scope_id != 0) {
    scope[0] = '%';
    if (!if_indextoname(in6.sin6_scope_id, scope + 1))
      snprintf(scope, sizeof scope, "%%%u", in6.sin6_scope_id);
  }
  snprintf(text, ENDPOINT_TEXT_SIZE, "[%s%s]:%u", host, scope, address.port);
  return text;
}

const char *host_format(const char *host, int port, char *text, size_t size) {
  bool is_unix = strncmp(host, "unix:", 5) == 0;
  bool is_bare_ipv6 = strchr(host, ':') && host[0] != '[';
  if (port < 0 || is_unix)
    snprintf(text, size, "%s", host);
  else
    snprintf(text, size, is_bare_ipv6 ? "[%s]:%d" : "%s:%d", host, port);
  return text;
}

uint16_t endpoint_port(const struct endpoint *endpoint) {
  if (endpoint->storage.ss_family == AF_INET)
    return ntohs(in_of(&endpoint->storage).sin_port);
  if (endpoint->storage.ss_family == AF_INET6)
    return ntohs(in6_of(&endpoint->storage).sin6_port);
  return 0;
}

void endpoint_set_port(struct endpoint *endpoint, uint16_t port) {
  in_port_t wire = htons(port);
  if (endpoint->storage.ss_family == AF_INET)
    memcpy((char *)&endpoint->storage + offsetof(struct sockaddr_in, sin_port), &wire, sizeof wire);
  else if (endpoint->storage.ss_family == AF_INET6)
    memcpy((char *)&endpoint->storage + offsetof(struct sockaddr_in6, sin6_port), &wire, sizeof wire);
}
