/* SPDX-License-Identifier: MIT
 *
 * Members become prefixes wherever they are ones, and stand in a tree; the globs that are left are compared with the
 * text of the address. */
#include "net/ip_set.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OCTETS = 4, GROUPS = 8, SHOWN = 80 };

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

struct member {
  char *text;
  struct prefix prefix; /* of a glob: only its specificity, as `bits` */
  bool is_glob;
};

struct ip_set {
  atomic_uint references;
  struct member *members;
  size_t count;
  uint32_t *globs; /* members that are no prefix */
  size_t glob_count;
  struct prefix_tree tree; /* values: members */
};

/* What is wrong with a member. */
static int wrong(struct error *error, const char *text, const char *what) {
  return error_set(error, EINVAL, "\"%.*s\" is no set of addresses: %s", SHOWN, text, what);
}

static bool only_has(const char *text, const char *characters) { return text[strspn(text, characters)] == '\0'; }

static int parse_address(const char *text, size_t size, uint8_t bytes[16], bool *is_ipv4) {
  char copy[INET6_ADDRSTRLEN + 1];
  if (size == 0 || size >= sizeof copy)
    return -EINVAL;
  memcpy(copy, text, size);
  copy[size] = '\0';
  memcpy(bytes, mapped_prefix, sizeof mapped_prefix);
  if (inet_pton(AF_INET, copy, bytes + sizeof mapped_prefix) != 1 && inet_pton(AF_INET6, copy, bytes) != 1)
    return -EINVAL;
  *is_ipv4 = memcmp(bytes, mapped_prefix, sizeof mapped_prefix) == 0;
  return 0;
}

/* The digits behind the slash; -1 when they are none or too many. */
static int parse_bits(const char *text) {
  size_t length = strlen(text);
  return length >= 1 && length <= 3 && only_has(text, "0123456789") ? atoi(text) : -1;
}

static int parse_cidr(struct member *member, const char *text, const char *slash, struct error *error) {
  uint8_t bytes[16];
  bool is_ipv4;
  if (parse_address(text, (size_t)(slash - text), bytes, &is_ipv4) < 0)
    return wrong(error, text, "before the slash stands no IP address");
  bool written_as_ipv6 = memchr(text, ':', (size_t)(slash - text));
  int bits = parse_bits(slash + 1);
  if (!written_as_ipv6 && (bits < 0 || bits > 32))
    return wrong(error, text, "the prefix of an IPv4 address is 0 to 32");
  if (bits < 0 || bits > 128)
    return wrong(error, text, "the prefix of an IPv6 address is 0 to 128");
  if (written_as_ipv6 && is_ipv4) {
    if (bits >= 96)
      bits -= 96; /* "::ffff:10.0.0.0/104" */
    else
      is_ipv4 = false;
  }
  member->prefix = prefix_make(bytes, is_ipv4, (unsigned)bits);
  return 0;
}

static bool is_octet(const char *text, size_t length) {
  if (length == 0 || length > 3 || (length > 1 && text[0] == '0'))
    return false;
  unsigned value = 0;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9')
      return false;
    value = value * 10 + (unsigned)(text[i] - '0');
  }
  return value <= 255;
}

/* A glob of IPv4: its octets that are spelled out, and whether those stand first and only "*" follow: a prefix. */
static int parse_ipv4_glob(struct member *member, const char *text, struct error *error) {
  uint8_t bytes[16] = {0};
  unsigned octets = 0, parts = 0;
  bool is_prefix = true, has_star = false, ended = false;
  for (const char *part = text; part; parts++) {
    size_t length = strcspn(part, ".");
    bool whole = strspn(part, "0123456789") >= length;
    if (length == 0)
      return wrong(error, text, "a part between the dots is empty");
    if (whole && !is_octet(part, length))
      return wrong(error, text, "the numbers between the dots are 0 to 255, without leading zeros");
    if (parts >= OCTETS)
      return wrong(error, text, "an IPv4 address has four parts");
    is_prefix = is_prefix && (whole ? !ended : length == 1 && *part == '*');
    if (whole) {
      bytes[sizeof mapped_prefix + parts] = (uint8_t)atoi(part);
      octets++;
    } else {
      ended = true;
      has_star = has_star || memchr(part, '*', length);
    }
    part = part[length] == '.' ? part + length + 1 : NULL;
  }
  if (parts < OCTETS && !has_star)
    return wrong(error, text, "an IPv4 address has four parts; end it with \".*\" to leave the rest open");
  member->prefix = prefix_make(bytes, true, octets * 8);
  member->is_glob = !is_prefix;
  return 0;
}

/* "2001:db8:*": whole groups, and the rest open. */
static int parse_ipv6_glob(struct member *member, const char *text, struct error *error) {
  static const char how[] = "a glob of IPv6 addresses is whole groups and \":*\", as \"2001:db8:*\"; or write a CIDR";
  uint8_t bytes[16] = {0};
  unsigned groups = 0;
  for (const char *at = text; strcmp(at, "*") != 0; groups++) {
    size_t length = strspn(at, "0123456789abcdefABCDEF");
    if (length == 0 || length > 4 || at[length] != ':' || groups >= GROUPS - 1)
      return wrong(error, text, how);
    unsigned long value = strtoul(at, NULL, 16);
    bytes[2 * groups] = (uint8_t)(value >> 8);
    bytes[2 * groups + 1] = (uint8_t)value;
    at += length + 1;
  }
  member->prefix = prefix_make(bytes, false, groups * 16);
  return 0;
}

static int parse_member(struct member *member, const char *text, struct error *error) {
  uint8_t bytes[16];
  bool is_ipv4;
  const char *slash = strchr(text, '/');
  if (strcmp(text, "*") == 0)
    return 0; /* no bits: everything */
  if (slash)
    return parse_cidr(member, text, slash, error);
  if (strpbrk(text, "*?")) {
    if (only_has(text, "0123456789.*?"))
      return parse_ipv4_glob(member, text, error);
    if (strchr(text, ':'))
      return parse_ipv6_glob(member, text, error);
    return wrong(error, text, "a glob has digits, dots, \"*\" and \"?\", as \"192.168.*\" or \"10.?.?.1\"");
  }
  if (parse_address(text, strlen(text), bytes, &is_ipv4) < 0)
    return wrong(error, text, "expected an address, a CIDR as \"10.0.0.0/8\" or a glob as \"192.168.*\"");
  member->prefix = prefix_make(bytes, is_ipv4, is_ipv4 ? 32 : 128);
  return 0;
}

/* "?" is a digit, "*" any run. The last "*" is the only one that ever has to take more. */
static bool glob_matches(const char *glob, const char *text) {
  const char *star = NULL, *taken = NULL;
  while (*text) {
    if (*glob == '*') {
      star = glob++;
      taken = text;
    } else if (*glob == *text || (*glob == '?' && *text != '.')) {
      glob++;
      text++;
    } else if (star) {
      glob = star + 1;
      text = ++taken;
    } else {
      return false;
    }
  }
  return glob[strspn(glob, "*")] == '\0';
}

static int ip_set_enter(struct ip_set *set, size_t index) {
  struct member *member = &set->members[index];
  if (member->is_glob) {
    set->globs[set->glob_count++] = (uint32_t)index;
    return 0;
  }
  uint32_t *value = prefix_tree_insert(&set->tree, &member->prefix);
  if (!value)
    return -ENOMEM;
  if (*value == PREFIX_NO_VALUE)
    *value = (uint32_t)index;
  return 0;
}

struct ip_set *ip_set_new(const char *const *texts, size_t count, struct error *error) {
  struct ip_set *set = NULL;
  if (count > IP_SET_MAX) {
    error_set(error, E2BIG, "a set of addresses has at most %d members, and this one %zu", IP_SET_MAX, count);
    return NULL;
  }
  set = calloc(1, sizeof *set);
  if (!set)
    goto no_memory;
  atomic_init(&set->references, 1);
  set->members = calloc(count + 1, sizeof *set->members);
  set->globs = calloc(count + 1, sizeof *set->globs);
  if (!set->members || !set->globs)
    goto no_memory;
  for (; set->count < count; set->count++) {
    struct member *member = &set->members[set->count];
    if (parse_member(member, texts[set->count], error) < 0)
      goto fail;
    member->text = strdup(texts[set->count]);
    if (!member->text || ip_set_enter(set, set->count) < 0) {
      free(member->text);
      goto no_memory;
    }
  }
  return set;

no_memory:
  error_set(error, ENOMEM, "no memory for a set of addresses");
fail:
  ip_set_unref(set);
  return NULL;
}

struct ip_set *ip_set_ref(struct ip_set *set) {
  atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
  return set;
}

void ip_set_unref(struct ip_set *set) {
  if (!set || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
    return;
  for (size_t i = 0; i < set->count; i++)
    free(set->members[i].text);
  free(set->members);
  free(set->globs);
  prefix_tree_deinit(&set->tree);
  free(set);
}

/* The most specific member; NULL when there is none. A prefix stands before a glob that sets as much. */
static const struct member *ip_set_find_member(const struct ip_set *set, const struct ip_address *address) {
  const struct member *best = NULL;
  if (!address->is_set)
    return NULL;
  struct prefix key = prefix_of_address(address);
  uint32_t at = 0, value;
  unsigned bits;
  while ((value = prefix_tree_next(&set->tree, &key, &at, &bits)) != PREFIX_NO_VALUE)
    best = &set->members[value];
  if (set->glob_count == 0 || !ip_address_is_ipv4(address))
    return best;
  char text[ADDRESS_TEXT_SIZE];
  ip_address_format(address, text);
  for (size_t i = 0; i < set->glob_count; i++) {
    const struct member *member = &set->members[set->globs[i]];
    if ((!best || member->prefix.bits > best->prefix.bits) && glob_matches(member->text, text))
      best = member;
  }
  return best;
}

bool ip_set_contains(const struct ip_set *set, const struct ip_address *address) {
  return ip_set_find_member(set, address);
}

const char *ip_set_find(const struct ip_set *set, const struct ip_address *address) {
  const struct member *member = ip_set_find_member(set, address);
  return member ? member->text : NULL;
}

int ip_set_specificity(const struct ip_set *set, const struct ip_address *address) {
  const struct member *member = ip_set_find_member(set, address);
  return member ? member->prefix.bits : -1;
}

size_t ip_set_count(const struct ip_set *set) { return set->count; }

const char *ip_set_text(const struct ip_set *set, size_t index) { return set->members[index].text; }

bool ip_set_prefix(const struct ip_set *set, size_t index, struct prefix *prefix) {
  *prefix = set->members[index].prefix;
  return !set->members[index].is_glob;
}

bool ip_set_equal(const struct ip_set *a, const struct ip_set *b) {
  if (a == b)
    return true;
  if (!a || !b || a->count != b->count)
    return false;
  for (size_t i = 0; i < a->count; i++)
    if (strcmp(a->members[i].text, b->members[i].text) != 0)
      return false;
  return true;
}
