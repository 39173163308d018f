/* SPDX-License-Identifier: MIT
 *
 * Reading the two files by lines. Names of the hosts file are of the machine's own making, but the hash has a seed all
 * the same: some keep a hundred thousand of a stranger's list there. */
#include "names/dns_files.h"

#include "core/file_stamp.h"
#include "core/text.h"
#include "core/text_file.h"
#include "names/resolve_name.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
  RESOLV_CONF_MAX = 64 * 1024,
  HOSTS_MAX = 16 * 1024 * 1024,
  MOST_DOTS = 15, /* resolv.conf(5) */
  POOR_LOOKS = 3,
};

struct dns_files {
  atomic_uint references;
  uint64_t seed;
  char *paths[2]; /* of resolv.conf and hosts */
  struct file_stamp stamps[2];
  uint64_t digests[2]; /* of their bytes; 0: it could not be read */
  unsigned poor_looks; /* in a row; dns_files_renew() alone */
  unsigned server_count, domain_count, dots;
  bool rotate, use_tcp;
  char servers[DNS_SERVERS_MAX * INET6_ADDRSTRLEN + DNS_SERVERS_MAX];
  char *domains[DNS_DOMAINS_MAX];
  struct hash_table hosts;
};

static const char blanks[] = " \t\r\f\v";

static bool is_server(const char *text) {
  unsigned char bytes[sizeof(struct in6_addr)];
  return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static void add_server(struct dns_files *files, const char *text) {
  if (files->server_count == DNS_SERVERS_MAX || !is_server(text))
    return;
  size_t used = strlen(files->servers);
  snprintf(files->servers + used, sizeof files->servers - used, "%s%s", files->server_count > 0 ? "," : "", text);
  files->server_count++;
}

static void clear_domains(struct dns_files *files) {
  while (files->domain_count > 0)
    free(files->domains[--files->domain_count]);
}

/* The last line of its kind holds. */
static void set_domains(struct dns_files *files, char *words) {
  clear_domains(files);
  char *rest;
  for (char *word = strtok_r(words, blanks, &rest); word; word = strtok_r(NULL, blanks, &rest)) {
    char normal[RESOLVE_NAME_MAX + 1];
    if (files->domain_count == DNS_DOMAINS_MAX || resolve_name_normalize(word, normal) < 0)
      continue;
    char *domain = strdup(normal);
    if (domain)
      files->domains[files->domain_count++] = domain;
  }
}

static void set_resolver_options(struct dns_files *files, char *words) {
  char *rest;
  for (char *word = strtok_r(words, blanks, &rest); word; word = strtok_r(NULL, blanks, &rest)) {
    if (strncmp(word, "ndots:", 6) == 0) {
      unsigned long dots = strtoul(word + 6, NULL, 10);
      files->dots = dots < MOST_DOTS ? (unsigned)dots : MOST_DOTS;
    }
    files->rotate |= strcmp(word, "rotate") == 0;
    files->use_tcp |= strcmp(word, "use-vc") == 0;
  }
}

static void take_resolver_line(struct dns_files *files, char *line) {
  char *rest;
  const char *key = strtok_r(line, blanks, &rest);
  if (!key || key[0] == '#' || key[0] == ';')
    return;
  char *comment = strpbrk(rest, "#;");
  if (comment)
    *comment = '\0';
  if (strcmp(key, "nameserver") == 0) {
    const char *server = strtok_r(NULL, blanks, &rest);
    add_server(files, server ? server : "");
  } else if (strcmp(key, "search") == 0 || strcmp(key, "domain") == 0) {
    set_domains(files, rest);
  } else if (strcmp(key, "options") == 0) {
    set_resolver_options(files, rest);
  }
}

/* resolv.conf(5): a machine that names none has its own domain. */
static void default_domain(struct dns_files *files) {
  char name[RESOLVE_NAME_MAX + 1];
  if (gethostname(name, sizeof name) != 0)
    return;
  name[sizeof name - 1] = '\0';
  char *dot = strchr(name, '.');
  if (dot)
    set_domains(files, dot + 1);
}

/* LOCALDOMAIN and RES_OPTIONS, as resolv.conf(5) has them: they are stronger than the file. */
static void take_environment(struct dns_files *files) {
  const char *domains = getenv("LOCALDOMAIN"), *options = getenv("RES_OPTIONS");
  char *copy = domains ? strdup(domains) : NULL;
  if (copy)
    set_domains(files, copy);
  free(copy);
  copy = options ? strdup(options) : NULL;
  if (copy)
    set_resolver_options(files, copy);
  free(copy);
}

const struct dns_host *dns_files_host(const struct dns_files *files, const char *name, size_t size) {
  if (size > 0 && name[size - 1] == '.')
    size--;
  uint64_t hash = text_hash(name, size, files->seed);
  for (struct hash_node *node = hash_table_first(&files->hosts, hash); node; node = hash_table_next(node)) {
    const struct dns_host *host = HASH_OWNER(node, struct dns_host, node);
    if (host->size == size && memcmp(host->name, name, size) == 0)
      return host;
  }
  return NULL;
}

static void free_host(struct hash_node *node) {
  struct dns_host *host = HASH_OWNER(node, struct dns_host, node);
  free(host->addresses);
  free(host);
}

static struct dns_host *host_named(struct dns_files *files, const char *name, size_t size) {
  const struct dns_host *there = dns_files_host(files, name, size);
  if (there)
    return (struct dns_host *)(uintptr_t)there;
  struct dns_host *host = calloc(1, sizeof *host + size + 1);
  if (!host)
    return NULL;
  memcpy(host->name, name, size);
  host->size = size;
  if (hash_table_enter(&files->hosts, &host->node, text_hash(name, size, files->seed)) < 0) {
    free(host);
    return NULL;
  }
  return host;
}

static void add_host(struct dns_files *files, const char *name, const union host_address *address) {
  char normal[RESOLVE_NAME_MAX + 1];
  int size = resolve_name_normalize(name, normal);
  if (size < 0)
    return;
  size -= normal[size - 1] == '.';
  struct dns_host *host = host_named(files, normal, (size_t)size);
  if (!host || host->count == HOST_ADDRESSES_MAX)
    return;
  union host_address *addresses = realloc(host->addresses, (host->count + 1) * sizeof *addresses);
  if (!addresses)
    return;
  host->addresses = addresses;
  host->addresses[host->count++] = *address;
}

static void take_hosts_line(struct dns_files *files, char *line) {
  line[strcspn(line, "#")] = '\0';
  char *rest;
  const char *text = strtok_r(line, blanks, &rest);
  union host_address address;
  memset(&address, 0, sizeof address);
  if (!text)
    return;
  if (inet_pton(AF_INET, text, &address.in.sin_addr) == 1)
    address.in.sin_family = AF_INET;
  else if (inet_pton(AF_INET6, text, &address.in6.sin6_addr) == 1)
    address.in6.sin6_family = AF_INET6;
  else
    return;
  for (const char *name = strtok_r(NULL, blanks, &rest); name; name = strtok_r(NULL, blanks, &rest))
    add_host(files, name, &address);
}

static void take_file(struct dns_files *files, unsigned which, size_t limit,
                      void (*take_line)(struct dns_files *files, char *line)) {
  char *text, *rest;
  size_t size;
  if (text_file_read(files->paths[which], limit, &text, &size, &files->stamps[which]) != 0)
    return;
  text[size] = '\0'; /* there is room: its size when it was opened, and one byte more */
  files->digests[which] = text_hash(text, size, 0) | 1;
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    take_line(files, line);
  free(text);
}

struct dns_files *dns_files_read(const char *resolv_conf, const char *hosts) {
  struct dns_files *files = calloc(1, sizeof *files);
  if (!files)
    return NULL;
  atomic_init(&files->references, 1);
  files->dots = 1;
  files->paths[0] = strdup(resolv_conf ? resolv_conf : "/etc/resolv.conf");
  files->paths[1] = strdup(hosts ? hosts : "/etc/hosts");
  if (!files->paths[0] || !files->paths[1] ||
      getrandom(&files->seed, sizeof files->seed, 0) != (ssize_t)sizeof files->seed) {
    dns_files_unref(files);
    return NULL;
  }
  take_file(files, 0, RESOLV_CONF_MAX, take_resolver_line);
  if (files->domain_count == 0)
    default_domain(files);
  take_environment(files);
  take_file(files, 1, HOSTS_MAX, take_hosts_line);
  return files;
}

static bool file_is_current(const struct dns_files *files, unsigned which) {
  if (files->digests[which] == 0)
    return access(files->paths[which], R_OK) != 0;
  return file_stamp_is_current(&files->stamps[which], files->paths[which]);
}

/* Is something gone that was there? */
static bool is_poorer(const struct dns_files *now, const struct dns_files *before) {
  return (now->server_count == 0 && before->server_count > 0) || (now->digests[1] == 0 && before->digests[1] != 0);
}

struct dns_files *dns_files_renew(struct dns_files *files) {
  if (file_is_current(files, 0) && file_is_current(files, 1)) {
    files->poor_looks = 0;
    return NULL;
  }
  struct dns_files *now = dns_files_read(files->paths[0], files->paths[1]);
  if (now && is_poorer(now, files) && ++files->poor_looks < POOR_LOOKS) {
    dns_files_unref(now);
    return NULL;
  }
  return now;
}

bool dns_files_say_same(const struct dns_files *a, const struct dns_files *b) {
  return memcmp(a->digests, b->digests, sizeof a->digests) == 0;
}

struct dns_files *dns_files_ref(struct dns_files *files) {
  atomic_fetch_add_explicit(&files->references, 1, memory_order_relaxed);
  return files;
}

void dns_files_unref(struct dns_files *files) {
  if (!files || atomic_fetch_sub_explicit(&files->references, 1, memory_order_acq_rel) != 1)
    return;
  clear_domains(files);
  hash_table_each(&files->hosts, free_host);
  hash_table_deinit(&files->hosts);
  free(files->paths[0]);
  free(files->paths[1]);
  free(files);
}

const char *dns_files_servers(const struct dns_files *files) {
  return files->server_count > 0 ? files->servers : "127.0.0.1";
}

bool dns_files_rotate(const struct dns_files *files) { return files->rotate; }

bool dns_files_use_tcp(const struct dns_files *files) { return files->use_tcp; }

int dns_files_candidate(const struct dns_files *files, const char *name, size_t size, unsigned number, char *text,
                        size_t text_size) {
  unsigned dots = 0;
  for (size_t i = 0; i < size; i++)
    dots += name[i] == '.';
  bool is_whole = name[size - 1] == '.';
  unsigned count = is_whole ? 1 : files->domain_count + 1;
  if (number >= count)
    return -1;
  unsigned own = is_whole || dots >= files->dots ? 0 : count - 1;
  const char *domain = number == own ? NULL : files->domains[number - (number > own)];
  int written = domain ? snprintf(text, text_size, "%.*s.%s", (int)size, name, domain)
                       : snprintf(text, text_size, "%.*s", (int)size, name);
  return written >= 0 && (size_t)written < text_size ? 0 : -1;
}
