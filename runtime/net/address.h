/* SPDX-License-Identifier: MIT
 *
 * Addresses of sockets: parsing, formatting, comparing. Names are not looked up here (names/resolve.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct sockaddr_in6;

/* The compact form that a connection keeps: 16 bytes of address (IPv4 as IPv4-mapped, RFC 4291 section 2.5.5.2) and a
 * port. */
struct ip_address {
  uint8_t bytes[16];
  uint16_t port; /* host byte order */
  bool is_set;   /* false for a peer on a unix socket */
};

/* What bind(2) and connect(2) take. */
struct endpoint {
  socklen_t length;
  struct sockaddr_storage storage;
};

enum {
  ADDRESS_TEXT_SIZE = 64,   /* "[ffff:…]:65535" with its NUL */
  ENDPOINT_TEXT_SIZE = 128, /* as above, or "unix:/path" */
};

void ip_address_from_sockaddr(struct ip_address *address, const struct sockaddr *sockaddr);

/* "192.0.2.1", "2001:db8::1"; an IPv4-mapped address prints as IPv4; "" when not set. Writes at most
 * ADDRESS_TEXT_SIZE bytes. Returns `text`. */
const char *ip_address_format(const struct ip_address *address, char text[ADDRESS_TEXT_SIZE]);

bool ip_address_is_ipv4(const struct ip_address *address);

/* 127.0.0.0/8 or ::1. */
bool ip_address_is_loopback(const struct ip_address *address);

/* A literal address (IPv4 dotted quad, or IPv6 with or without brackets, with an optional %scope) and a port; an
 * IPv4-mapped one is the IPv4 address. 0, or -EINVAL when it is not a literal (then it may be a name). */
int endpoint_from_literal(struct endpoint *endpoint, const char *host, uint16_t port);

/* Likewise, of an address that is set; `port` takes the place of its own. */
void endpoint_from_address(struct endpoint *endpoint, const struct ip_address *address, uint16_t port);

/* What endpoint_from_literal() would make of it, to be kept, but without a port; false, and not set: it is none, or has
 * a %scope, which is not part of an address. */
bool ip_address_from_literal(struct ip_address *address, const char *host);

/* 0, -EINVAL (empty) or -ENAMETOOLONG (over 107 bytes, unix(7)). */
int endpoint_from_unix_path(struct endpoint *endpoint, const char *path);

/* "192.0.2.1:80", "[2001:db8::1]:80", "unix:/path". Returns `text`. */
const char *endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_SIZE]);

/* What a target is called, in the same form: of a name or literal and a port (negative: none), or of "unix:/path". Cut
 * to `size`. Returns `text`. */
const char *host_format(const char *host, int port, char *text, size_t size);

/* Host byte order; 0 for a unix socket. */
uint16_t endpoint_port(const struct endpoint *endpoint);
void endpoint_set_port(struct endpoint *endpoint, uint16_t port);
