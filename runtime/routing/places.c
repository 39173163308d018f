/* SPDX-License-Identifier: MIT
 *
 * A route on a port is a place. All places are written down as numbers, sorted by port, address and file order, and
 * walked once; ports where the same routes stand in the same order share one list and its index. */
#include "routing/places.h"

#include "core/sort.h"
#include "core/text.h"
#include "routing/index.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_SHIFT = 48, ADDRESS_SHIFT = 32, MAX_ADDRESSES = 65536 };

/* The routes at an endpoint, as numbers: priority (0 the highest) << 33, not bound to this very address << 32, route.
 */
struct sequence {
  uint64_t *keys;
  size_t count;
};

struct build {
  struct route_table *table;
  struct endpoint *addresses; /* each once */
  size_t address_count;
  uint32_t *address_of;  /* by route */
  uint32_t *priority_of; /* by route */
  uint64_t *places;      /* port << 48, address << 32, route */
  size_t place_count;
  struct sequence sequence;   /* of the endpoint at hand */
  struct sequence *sequences; /* of the table's lists */
  uint32_t *slots;            /* lists by their sequence, plus 1; 0: free */
  size_t slot_mask, list_capacity;
  size_t listed; /* routes in all lists */
};

static size_t remove_twins(uint64_t *numbers, size_t count) {
  size_t left = 0;
  for (size_t i = 0; i < count; i++)
    if (i == 0 || numbers[i] != numbers[i - 1])
      numbers[left++] = numbers[i];
  return left;
}

static struct endpoint any_address(void) {
  struct endpoint any = {.length = sizeof(struct sockaddr_in6)};
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&any.storage;
  in6->sin6_family = AF_INET6;
  return any;
}

static int compare_endpoints(const void *left, const void *right) {
  const struct endpoint *a = left, *b = right;
  if (a->length != b->length)
    return a->length < b->length ? -1 : 1;
  return memcmp(&a->storage, &b->storage, a->length);
}

static bool is_wildcard(const struct endpoint *endpoint) {
  if (endpoint->storage.ss_family == AF_INET6)
    return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&endpoint->storage)->sin6_addr);
  return endpoint->storage.ss_family == AF_INET &&
         ((const struct sockaddr_in *)&endpoint->storage)->sin_addr.s_addr == INADDR_ANY;
}

/* Another address than its own. IPv4 clients land on the IPv4 socket, whatever else is bound. */
static bool falls_to(const struct endpoint *endpoint, const struct endpoint *address) {
  bool is_ipv4 = endpoint->storage.ss_family == AF_INET;
  if (!is_wildcard(address) || (is_wildcard(endpoint) && !is_ipv4))
    return false;
  return is_ipv4 || address->storage.ss_family == AF_INET6;
}

bool places_is_own(const struct endpoint *endpoint, const struct endpoint *address) {
  struct endpoint own = *endpoint, other = address->length ? *address : any_address();
  endpoint_set_port(&own, 0);
  endpoint_set_port(&other, 0);
  return compare_endpoints(&own, &other) == 0;
}

bool places_takes(const struct endpoint *endpoint, const struct endpoint *address) {
  struct endpoint other = address->length ? *address : any_address();
  return places_is_own(endpoint, address) || falls_to(endpoint, &other);
}

/* A route that is bound to an address of its own. */
struct bound {
  const struct endpoint *address;
  uint32_t route;
};

static int compare_bound(const void *left, const void *right) {
  const struct bound *a = left, *b = right;
  return compare_endpoints(a->address, b->address);
}

/* The routes by their addresses: sorted by reference, for an endpoint is large. NULL without memory. */
static struct bound *sort_bound(const struct route_table *table, size_t *count) {
  struct bound *bound = malloc((table->route_count + 1) * sizeof *bound);
  bool is_ordered = true;
  *count = 0;
  for (size_t i = 0; bound && i < table->route_count; i++) {
    if (table->routes[i]->address.length == 0)
      continue;
    bound[*count] = (struct bound){&table->routes[i]->address, (uint32_t)i};
    is_ordered = is_ordered && (*count == 0 || compare_bound(&bound[*count - 1], &bound[*count]) <= 0);
    ++*count;
  }
  if (bound && !is_ordered)
    qsort(bound, *count, sizeof *bound, compare_bound);
  return bound;
}

/* Each address once, and which is whose. The first is that of routes which name none; one that names the same is no
 * other. */
static int number_addresses(struct build *build) {
  const struct route_table *table = build->table;
  size_t count, numbers = 1;
  struct bound *bound = sort_bound(table, &count);
  for (size_t i = 0; bound && i < count; i++)
    numbers += i == 0 || compare_bound(&bound[i - 1], &bound[i]) != 0;
  int status = numbers > MAX_ADDRESSES ? -E2BIG : -ENOMEM;
  if (!bound || numbers > MAX_ADDRESSES)
    goto end;
  build->addresses = malloc(numbers * sizeof *build->addresses);
  build->address_of = calloc(table->route_count + 1, sizeof *build->address_of);
  if (!build->addresses || !build->address_of)
    goto end;
  struct endpoint *last = build->addresses;
  *last = any_address();
  for (size_t i = 0; i < count; i++) {
    if (compare_endpoints(build->addresses, bound[i].address) == 0)
      continue;
    if (compare_endpoints(last, bound[i].address) != 0)
      *++last = *bound[i].address;
    build->address_of[bound[i].route] = (uint32_t)(last - build->addresses);
  }
  build->address_count = (size_t)(last - build->addresses) + 1;
  status = 0;

end:
  free(bound);
  return status;
}

static int number_priorities(struct build *build) {
  const struct route_table *table = build->table;
  uint64_t *values = malloc((table->route_count + 1) * sizeof *values);
  build->priority_of = calloc(table->route_count + 1, sizeof *build->priority_of);
  if (!values || !build->priority_of) {
    free(values);
    return -ENOMEM;
  }
  for (size_t i = 0; i < table->route_count; i++)
    values[i] = (uint64_t)(INT64_C(0x80000000) - table->routes[i]->priority);
  sort_numbers(values, table->route_count);
  size_t count = remove_twins(values, table->route_count);
  for (size_t i = 0; i < table->route_count; i++) {
    uint64_t value = (uint64_t)(INT64_C(0x80000000) - table->routes[i]->priority);
    const uint64_t *found = bsearch(&value, values, count, sizeof *values, sort_compare_numbers);
    build->priority_of[i] = (uint32_t)(found - values);
  }
  free(values);
  return 0;
}

static int collect_places(struct build *build) {
  const struct route_table *table = build->table;
  size_t count = 0;
  for (size_t i = 0; i < table->route_count; i++)
    for (size_t p = 0; p < table->routes[i]->port_count; p++)
      count += (size_t)(table->routes[i]->ports[p].to - table->routes[i]->ports[p].from) + 1;
  if (count > TABLE_MAX_PLACES)
    return -E2BIG;
  build->places = malloc((count + 1) * sizeof *build->places);
  if (!build->places)
    return -ENOMEM;
  uint64_t *next = build->places;
  for (size_t i = 0; i < table->route_count; i++) {
    const struct route *route = table->routes[i];
    for (size_t p = 0; p < route->port_count; p++)
      for (uint64_t port = route->ports[p].from; port <= route->ports[p].to; port++)
        *next++ = port << PORT_SHIFT | (uint64_t)build->address_of[i] << ADDRESS_SHIFT | i;
  }
  sort_numbers(build->places, count);
  build->place_count = remove_twins(build->places, count);
  return 0;
}

static void add_to_sequence(struct build *build, uint64_t place, bool is_bound) {
  uint32_t route = (uint32_t)place;
  build->sequence.keys[build->sequence.count++] =
      (uint64_t)build->priority_of[route] << 33 | (uint64_t)!is_bound << 32 | route;
}

static int grow_lists(struct build *build) {
  struct route_table *table = build->table;
  if (table->list_count < build->list_capacity)
    return 0;
  size_t capacity = build->list_capacity ? 2 * build->list_capacity : 8;
  struct route_list *lists = realloc(table->lists, capacity * sizeof *lists);
  if (lists)
    table->lists = lists;
  struct sequence *sequences = realloc(build->sequences, capacity * sizeof *sequences);
  if (sequences)
    build->sequences = sequences;
  if (!lists || !sequences)
    return -ENOMEM;
  build->list_capacity = capacity;
  return 0;
}

/* Adds the list of the sequence at hand, which it takes over. */
static int add_list(struct build *build) {
  struct route_table *table = build->table;
  size_t count = build->sequence.count;
  if (grow_lists(build) < 0)
    return -ENOMEM;
  build->listed += count;
  if (build->listed > TABLE_MAX_PLACES)
    return -E2BIG;
  struct route_list *list = &table->lists[table->list_count];
  uint32_t *tiers = malloc((count + 1) * sizeof *tiers);
  uint64_t *keys = malloc((count + 1) * sizeof *keys);
  *list = (struct route_list){.routes = malloc((count + 1) * sizeof(struct route *)), .count = count};
  for (size_t i = 0; tiers && keys && list->routes && i < count; i++) {
    keys[i] = build->sequence.keys[i];
    tiers[i] = (uint32_t)(keys[i] >> 32);
    list->routes[i] = table->routes[(uint32_t)keys[i]];
  }
  if (tiers && keys && list->routes)
    list->index = route_index_new(list->routes, tiers, count);
  free(tiers);
  if (!list->index) {
    free(list->routes);
    free(keys);
    return -ENOMEM;
  }
  build->sequences[table->list_count++] = (struct sequence){keys, count};
  return 0;
}

/* The number of the list of the sequence at hand, or a negative errno. */
static long find_list(struct build *build) {
  sort_numbers(build->sequence.keys, build->sequence.count);
  size_t size = build->sequence.count * sizeof *build->sequence.keys;
  size_t at = (size_t)text_hash(build->sequence.keys, size, 0) & build->slot_mask;
  for (; build->slots[at]; at = (at + 1) & build->slot_mask) {
    const struct sequence *other = &build->sequences[build->slots[at] - 1];
    if (other->count == build->sequence.count && memcmp(other->keys, build->sequence.keys, size) == 0)
      return (long)build->slots[at] - 1;
  }
  int status = add_list(build);
  if (status < 0)
    return status;
  build->slots[at] = (uint32_t)build->table->list_count;
  return (long)build->table->list_count - 1;
}

/* `own` are the places at this endpoint; `group` all of its port, among which the wildcard's take these connections
 * too. */
static int build_port(struct build *build, const uint64_t *own, const uint64_t *own_end, const uint64_t *group,
                      const uint64_t *group_end) {
  struct table_port *port = &build->table->ports[build->table->port_count];
  uint16_t address = (uint16_t)(*own >> ADDRESS_SHIFT);
  *port = (struct table_port){.endpoint = build->addresses[address], .port = (uint16_t)(*own >> PORT_SHIFT)};
  build->sequence.count = 0;
  for (const uint64_t *place = own; place < own_end; place++)
    add_to_sequence(build, *place, true);
  uint32_t last = UINT32_MAX;
  bool falls = false;
  for (const uint64_t *place = group; port->port != 0 && place < group_end; place++) {
    uint16_t other = (uint16_t)(*place >> ADDRESS_SHIFT);
    if (other != last)
      falls = other != address && falls_to(&port->endpoint, &build->addresses[other]);
    last = other;
    if (falls)
      add_to_sequence(build, *place, false);
  }
  endpoint_set_port(&port->endpoint, port->port);
  long number = find_list(build);
  if (number < 0)
    return (int)number;
  /* The lists may still move: which one it is is written down as a count, until all are there. */
  port->route_count = (size_t)number;
  build->table->port_count++;
  return 0;
}

static int build_ports(struct build *build) {
  const uint64_t *end = build->places + build->place_count;
  for (const uint64_t *group = build->places, *group_end; group < end; group = group_end) {
    for (group_end = group + 1; group_end < end && *group_end >> PORT_SHIFT == *group >> PORT_SHIFT; group_end++)
      ;
    for (const uint64_t *own = group, *own_end; own < group_end; own = own_end) {
      /* A port of the kernel's choice is one for each. */
      own_end = own + 1;
      while (*own >> PORT_SHIFT != 0 && own_end < group_end && *own_end >> ADDRESS_SHIFT == *own >> ADDRESS_SHIFT)
        own_end++;
      int status = build_port(build, own, own_end, group, group_end);
      if (status < 0)
        return status;
    }
  }
  return 0;
}

static size_t places_count_ports(const struct build *build) {
  size_t count = 0;
  for (size_t i = 0; i < build->place_count; i++)
    count += i == 0 || build->places[i] >> PORT_SHIFT == 0 ||
             build->places[i] >> ADDRESS_SHIFT != build->places[i - 1] >> ADDRESS_SHIFT;
  return count;
}

static void finish_ports(struct route_table *table) {
  for (size_t i = 0; i < table->port_count; i++) {
    struct table_port *port = &table->ports[i];
    const struct route_list *list = &table->lists[port->route_count];
    port->routes = list->routes;
    port->route_count = list->count;
    port->index = list->index;
    port->has_tls = list->has_tls;
    port->has_plain = list->has_plain;
    port->has_domains = list->has_domains;
    port->has_when = list->has_when;
    port->initial_data = list->initial_data;
    port->linger = list->linger;
  }
}

/* 0 is no bound at all. */
static void lengthen(uint64_t *bound, uint64_t other, bool first) {
  if (first || other == 0 || (*bound != 0 && other > *bound))
    *bound = other;
}

static void note_needs(struct route_table *table) {
  for (size_t i = 0; i < table->list_count; i++) {
    struct route_list *list = &table->lists[i];
    for (size_t r = 0; r < list->count; r++) {
      list->has_tls |= list->routes[r]->tls != ROUTE_TLS_NONE;
      list->has_plain |= list->routes[r]->tls == ROUTE_TLS_NONE;
      list->has_domains |= list->routes[r]->domain_count > 0;
      list->has_when |= list->routes[r]->when_function != ROUTE_NO_FUNCTION;
      lengthen(&list->initial_data, list->routes[r]->timeouts.initial_data, r == 0);
      if (list->routes[r]->timeouts.linger > list->linger)
        list->linger = list->routes[r]->timeouts.linger;
    }
  }
}

static void build_deinit(struct build *build) {
  for (size_t i = 0; i < build->table->list_count; i++)
    free(build->sequences[i].keys);
  free(build->sequences);
  free(build->sequence.keys);
  free(build->slots);
  free(build->addresses);
  free(build->address_of);
  free(build->priority_of);
  free(build->places);
}

int places_build(struct route_table *table) {
  struct build build = {.table = table};
  int status = number_addresses(&build);
  if (status == 0)
    status = number_priorities(&build);
  if (status == 0)
    status = collect_places(&build);
  size_t ports = status == 0 ? places_count_ports(&build) : 0;
  if (ports > TABLE_MAX_PORTS)
    status = -E2BIG;
  if (status == 0) {
    build.slot_mask = 16;
    while (build.slot_mask < 2 * ports)
      build.slot_mask *= 2;
    build.slot_mask--;
    table->ports = calloc(ports + 1, sizeof *table->ports);
    build.slots = calloc(build.slot_mask + 1, sizeof *build.slots);
    build.sequence.keys = malloc((build.place_count + 1) * sizeof *build.sequence.keys);
    status = table->ports && build.slots && build.sequence.keys ? build_ports(&build) : -ENOMEM;
  }
  if (status == 0) {
    note_needs(table);
    finish_ports(table);
  }
  build_deinit(&build);
  return status;
}
