/* SPDX-License-Identifier: MIT
 *
 * What the machine says of names: resolv.conf(5), whom to ask and what to put behind short names, and hosts(5), which
 * needs no asking. Read by us and not by c-ares, since a disk may not answer: who reads them may wait, who resolves
 * doesn't. Immutable, and shared by threads. */
#pragma once

#include "core/hash_table.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DNS_SERVERS_MAX = 8, DNS_DOMAINS_MAX = 6, HOST_ADDRESSES_MAX = 16 };

union host_address {
  struct sockaddr sockaddr;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
};

/* A name of the hosts file, with the addresses of all its lines in their order. */
struct dns_host {
  struct hash_node node;
  unsigned count;
  union host_address *addresses;
  size_t size;
  char name[]; /* in lower case */
};

struct dns_files;

/* A reference. `resolv_conf` and `hosts` are paths; NULL: those in /etc. What can't be read is as if it were empty.
 * Waits for the disk. NULL without memory. */
struct dns_files *dns_files_read(const char *resolv_conf, const char *hosts);

/* Looks at the same files again: NULL when nothing has changed, or there is no memory; else a reference to what they
 * say now, maybe the same. A file that is gone, or a resolv.conf that names no server any more, is being written: what
 * was there holds until it has been so at three looks. Waits for the disk; one thread at a time. */
struct dns_files *dns_files_renew(struct dns_files *files);

/* By the files' bytes. */
bool dns_files_say_same(const struct dns_files *a, const struct dns_files *b);

struct dns_files *dns_files_ref(struct dns_files *files);
void dns_files_unref(struct dns_files *files); /* NULL is nothing */

/* Addresses with commas between, as c-ares takes them; 127.0.0.1 when the file has none. */
const char *dns_files_servers(const struct dns_files *files);

/* What of its options concerns asking. */
bool dns_files_rotate(const struct dns_files *files);
bool dns_files_use_tcp(const struct dns_files *files);

/* The names under which `name` (of `size` bytes, in lower case) is to be asked for, one after the other: 0 and it is
 * written to `text`; -1: there are no more. A name with a dot at its end stands for itself alone. */
int dns_files_candidate(const struct dns_files *files, const char *name, size_t size, unsigned number, char *text,
                        size_t text_size);

/* A normal name (names/resolve_name.h), with or without a dot at its end; NULL: it is not in the hosts file. */
const struct dns_host *dns_files_host(const struct dns_files *files, const char *name, size_t size);
