/* SPDX-License-Identifier: MIT
 *
 * A route on a port is a binding. All bindings are written down as numbers, sorted by port, address and file order, and
 * walked once; ports where the same routes stand in the same order share one list and its index. */
#include "routing/endpoints.h"

#include "core/sort.h"
#include "core/text.h"
#include "routing/index.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum {
  PORT_SHIFT = 48,
  ADDRESS_SHIFT = 32,
  PRIORITY_SHIFT = 32,
  TIER_SHIFT = 31,
  MAX_ADDRESSES = 65536,
  BREATHE_ROUTES = 512
};

/* The routes at an endpoint, as numbers: priority (0 the highest) << 32, not bound to this very address << 31, route.
 */
struct sequence {
  uint64_t *keys;
  size_t count;
};

/* What of a route counts here, written down once: records are large, and lie apart. */
struct listener {
  const struct port_range *ports;
  uint32_t port_count; /* 0 where a plane takes its connections */
  uint32_t address;    /* of build->addresses */
  uint32_t priority;   /* 0 is the highest */
};

struct build {
  struct route_table *table;
  struct pace *pace;
  struct endpoint *addresses; /* each once */
  size_t address_count;
  struct listener *listeners; /* by route */
  uint64_t *bindings;         /* port << 48, address << 32, route */
  size_t binding_count;
  struct sequence sequence;   /* of the endpoint at hand */
  struct sequence *sequences; /* of the table's lists */
  uint32_t *slots;            /* lists by their sequence, plus 1; 0: free */
  size_t slot_mask, list_capacity;
  struct route_list **earlier; /* those of the table before, by their hash; NULL: free */
  size_t earlier_mask;
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

bool endpoint_is_own(const struct endpoint *endpoint, const struct endpoint *address) {
  struct endpoint own = *endpoint, other = address->length ? *address : any_address();
  endpoint_set_port(&own, 0);
  endpoint_set_port(&other, 0);
  return compare_endpoints(&own, &other) == 0;
}

bool endpoint_takes(const struct endpoint *endpoint, const struct endpoint *address) {
  struct endpoint other = address->length ? *address : any_address();
  return endpoint_is_own(endpoint, address) || falls_to(endpoint, &other);
}

/* Routes that follow each other and are bound to the same address. */
struct run {
  const struct endpoint *address;
  uint32_t number; /* in their order */
};

static int compare_runs(const void *left, const void *right) {
  const struct run *a = left, *b = right;
  return compare_endpoints(a->address, b->address);
}

struct runs {
  struct run *runs;
  size_t count, room;
};

static int add_run(struct runs *runs, const struct endpoint *address) {
  if (runs->count == runs->room) {
    size_t room = runs->room ? 2 * runs->room : 64;
    struct run *more = realloc(runs->runs, room * sizeof *more);
    if (!more)
      return -ENOMEM;
    runs->runs = more;
    runs->room = room;
  }
  runs->runs[runs->count] = (struct run){address, (uint32_t)runs->count};
  runs->count++;
  return 0;
}

/* Takes down what counts of each route; its address is the number of its run, plus 1, or 0: it has none. */
static int note_seats(struct build *build, struct runs *runs) {
  const struct route_table *table = build->table;
  build->listeners = malloc((table->route_count + 1) * sizeof *build->listeners);
  if (!build->listeners)
    return -ENOMEM;
  for (size_t i = 0; i < table->route_count; i++) {
    if (i % BREATHE_ROUTES == 0)
      pace_breathe(build->pace);
    const struct route *route = table->routes[i];
    bool has_address = route->address.length > 0;
    bool goes_on = runs->count > 0 && compare_endpoints(runs->runs[runs->count - 1].address, &route->address) == 0;
    if (has_address && !goes_on && add_run(runs, &route->address) < 0)
      return -ENOMEM;
    build->listeners[i] =
        (struct listener){.ports = route->ports,
                          .port_count = route->engine == ENGINE_USERSPACE ? (uint32_t)route->port_count : 0,
                          .address = has_address ? (uint32_t)runs->count : 0,
                          .priority = (uint32_t)(INT64_C(0x7fffffff) - route->priority)};
  }
  return 0;
}

/* Fills the addresses, and says which is that of each run, by its number plus 1. */
static void name_addresses(struct build *build, const struct runs *runs, uint32_t *address_of) {
  struct endpoint *last = build->addresses;
  *last = any_address();
  address_of[0] = 0;
  for (size_t i = 0; i < runs->count; i++) {
    const struct run *run = &runs->runs[i];
    bool is_any = compare_endpoints(build->addresses, run->address) == 0;
    if (!is_any && compare_endpoints(last, run->address) != 0)
      *++last = *run->address;
    address_of[run->number + 1] = is_any ? 0 : (uint32_t)(last - build->addresses);
  }
  build->address_count = (size_t)(last - build->addresses) + 1;
}

/* Each address once, and which is whose: sorted by reference, for an endpoint is large. The first is that of routes
 * which name none; one that names the same is no other. */
static int number_addresses(struct build *build) {
  struct runs runs = {.count = 0};
  uint32_t *address_of = NULL;
  size_t numbers = 1;
  int status = note_seats(build, &runs);
  if (status < 0)
    goto end;
  if (runs.count > 1)
    qsort(runs.runs, runs.count, sizeof *runs.runs, compare_runs);
  for (size_t i = 0; i < runs.count; i++)
    numbers += i == 0 || compare_runs(&runs.runs[i - 1], &runs.runs[i]) != 0;
  status = numbers > MAX_ADDRESSES ? -E2BIG : -ENOMEM;
  if (numbers > MAX_ADDRESSES)
    goto end;
  build->addresses = malloc(numbers * sizeof *build->addresses);
  address_of = malloc((runs.count + 1) * sizeof *address_of);
  if (!build->addresses || !address_of)
    goto end;
  name_addresses(build, &runs, address_of);
  for (size_t i = 0; i < build->table->route_count; i++)
    build->listeners[i].address = address_of[build->listeners[i].address];
  status = 0;

end:
  free(address_of);
  free(runs.runs);
  return status;
}

static int collect_bindings(struct build *build) {
  const struct route_table *table = build->table;
  size_t count = 0;
  for (size_t i = 0; i < table->route_count; i++)
    for (size_t p = 0; p < build->listeners[i].port_count; p++)
      count += (size_t)(build->listeners[i].ports[p].to - build->listeners[i].ports[p].from) + 1;
  if (count > TABLE_MAX_BINDINGS)
    return -E2BIG;
  build->bindings = malloc((count + 1) * sizeof *build->bindings);
  if (!build->bindings)
    return -ENOMEM;
  uint64_t *next = build->bindings;
  for (size_t i = 0; i < table->route_count; i++) {
    if (i % BREATHE_ROUTES == 0)
      pace_breathe(build->pace);
    const struct listener *listener = &build->listeners[i];
    for (size_t p = 0; p < listener->port_count; p++)
      for (uint64_t port = listener->ports[p].from; port <= listener->ports[p].to; port++)
        *next++ = port << PORT_SHIFT | (uint64_t)listener->address << ADDRESS_SHIFT | i;
  }
  sort_numbers(build->bindings, count);
  build->binding_count = remove_twins(build->bindings, count);
  return 0;
}

static void add_to_sequence(struct build *build, uint64_t binding, bool is_bound) {
  uint32_t route = (uint32_t)binding;
  build->sequence.keys[build->sequence.count++] =
      (uint64_t)build->listeners[route].priority << PRIORITY_SHIFT | (uint64_t)!is_bound << TIER_SHIFT | route;
}

static struct route *binding_route(const struct build *build, uint64_t key) {
  return build->table->routes[key & ((UINT64_C(1) << TIER_SHIFT) - 1)];
}

static int grow_lists(struct build *build) {
  struct route_table *table = build->table;
  if (table->list_count < build->list_capacity)
    return 0;
  size_t capacity = build->list_capacity ? 2 * build->list_capacity : 8;
  struct route_list **lists = realloc(table->lists, capacity * sizeof(struct route_list *));
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

/* 0 is no bound at all. */
static void lengthen(uint64_t *bound, uint64_t other, bool first) {
  if (first || other == 0 || (*bound != 0 && other > *bound))
    *bound = other;
}

static void note_needs(struct route_list *list) {
  for (size_t r = 0; r < list->count; r++) {
    const struct route *route = list->routes[r];
    list->has_tls |= route->tls != ROUTE_TLS_NONE;
    list->has_plain |= route->tls == ROUTE_TLS_NONE;
    list->has_domains |= route->domain_count > 0;
    list->has_when |= route->when_function != ROUTE_NO_FUNCTION;
    lengthen(&list->initial_data, route->timeouts.initial_data, r == 0);
    if (route->timeouts.linger > list->linger)
      list->linger = route->timeouts.linger;
  }
}

void route_list_unref(struct route_list *list) {
  if (!list || atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) != 1)
    return;
  route_index_free(list->index);
  free(list->routes);
  free(list);
}

/* The list of the sequence at hand, without its index: what two are compared by. NULL without memory. */
static struct route_list *route_list_new(const struct sequence *sequence, const struct build *build) {
  struct route_list *list = calloc(1, sizeof *list);
  struct route **routes = malloc((sequence->count + 1) * sizeof(struct route *));
  if (!list || !routes) {
    free(list);
    free(routes);
    return NULL;
  }
  atomic_init(&list->references, 1);
  list->routes = routes;
  list->count = sequence->count;
  list->is_own = true;
  for (size_t i = 0; i < sequence->count; i++) {
    routes[i] = binding_route(build, sequence->keys[i]);
    list->is_own = list->is_own && (sequence->keys[i] >> TIER_SHIFT & 1) == 0;
  }
  list->hash = text_hash(routes, sequence->count * sizeof(struct route *), 0);
  return list;
}

/* The place of the list's like among those of the table before, or a free one. */
static struct route_list **find_earlier(const struct build *build, const struct route_list *list) {
  size_t at = (size_t)list->hash & build->earlier_mask;
  for (; build->earlier[at]; at = (at + 1) & build->earlier_mask) {
    const struct route_list *other = build->earlier[at];
    if (other->hash == list->hash && other->count == list->count &&
        memcmp(other->routes, list->routes, list->count * sizeof(struct route *)) == 0)
      break;
  }
  return &build->earlier[at];
}

/* Routes that are bound to other addresses too may stand in another order elsewhere: those lists are made anew. */
static int enter_earlier(struct build *build, const struct route_table *before) {
  size_t count = before ? before->list_count : 0;
  build->earlier_mask = 16;
  while (build->earlier_mask < 2 * count)
    build->earlier_mask *= 2;
  build->earlier = calloc(build->earlier_mask, sizeof(struct route_list *));
  build->earlier_mask--;
  for (size_t i = 0; build->earlier && i < count; i++)
    if (before->lists[i]->is_own)
      *find_earlier(build, before->lists[i]) = before->lists[i];
  return build->earlier ? 0 : -ENOMEM;
}

/* What is behind the first differing of priority and binding is one tier further. */
static int route_list_make_index(struct route_list *list, const struct sequence *sequence) {
  uint32_t *tiers = malloc((sequence->count + 1) * sizeof *tiers);
  for (size_t i = 0; tiers && i < sequence->count; i++)
    tiers[i] =
        i == 0 ? 0 : tiers[i - 1] + (sequence->keys[i] >> TIER_SHIFT != sequence->keys[i - 1] >> TIER_SHIFT ? 1 : 0);
  if (tiers)
    list->index = route_index_new(list->routes, tiers, sequence->count);
  free(tiers);
  return list->index ? 0 : -ENOMEM;
}

/* Adds the list of the sequence at hand. */
static int add_list(struct build *build) {
  struct route_table *table = build->table;
  const struct sequence *sequence = &build->sequence;
  if (grow_lists(build) < 0)
    return -ENOMEM;
  build->listed += sequence->count;
  if (build->listed > TABLE_MAX_BINDINGS)
    return -E2BIG;
  uint64_t *keys = malloc((sequence->count + 1) * sizeof *keys);
  struct route_list *list = keys ? route_list_new(sequence, build) : NULL;
  struct route_list *earlier = list && list->is_own ? *find_earlier(build, list) : NULL;
  if (earlier) {
    atomic_fetch_add_explicit(&earlier->references, 1, memory_order_relaxed);
    route_list_unref(list);
    list = earlier;
  } else if (list && route_list_make_index(list, sequence) == 0) {
    note_needs(list);
  } else {
    route_list_unref(list);
    free(keys);
    return -ENOMEM;
  }
  memcpy(keys, sequence->keys, sequence->count * sizeof *keys);
  build->sequences[table->list_count] = (struct sequence){keys, sequence->count};
  table->lists[table->list_count++] = list;
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

/* `own` are the bindings of this endpoint; `group` all of its port, among which the wildcard's take these connections
 * too. */
static int build_port(struct build *build, const uint64_t *own, const uint64_t *own_end, const uint64_t *group,
                      const uint64_t *group_end) {
  struct table_port *port = &build->table->ports[build->table->port_count];
  uint16_t address = (uint16_t)(*own >> ADDRESS_SHIFT);
  pace_breathe(build->pace);
  *port = (struct table_port){.endpoint = build->addresses[address], .port = (uint16_t)(*own >> PORT_SHIFT)};
  build->sequence.count = 0;
  for (const uint64_t *binding = own; binding < own_end; binding++)
    add_to_sequence(build, *binding, true);
  uint32_t last = UINT32_MAX;
  bool falls = false;
  for (const uint64_t *binding = group; port->port != 0 && binding < group_end; binding++) {
    uint16_t other = (uint16_t)(*binding >> ADDRESS_SHIFT);
    if (other != last)
      falls = other != address && falls_to(&port->endpoint, &build->addresses[other]);
    last = other;
    if (falls)
      add_to_sequence(build, *binding, false);
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
  const uint64_t *end = build->bindings + build->binding_count;
  for (const uint64_t *group = build->bindings, *group_end; group < end; group = group_end) {
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

static size_t count_endpoints(const struct build *build) {
  size_t count = 0;
  for (size_t i = 0; i < build->binding_count; i++)
    count += i == 0 || build->bindings[i] >> PORT_SHIFT == 0 ||
             build->bindings[i] >> ADDRESS_SHIFT != build->bindings[i - 1] >> ADDRESS_SHIFT;
  return count;
}

static void finish_ports(struct route_table *table) {
  for (size_t i = 0; i < table->port_count; i++) {
    struct table_port *port = &table->ports[i];
    const struct route_list *list = table->lists[port->route_count];
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

static void build_deinit(struct build *build) {
  for (size_t i = 0; i < build->table->list_count; i++)
    free(build->sequences[i].keys);
  free(build->sequences);
  free(build->sequence.keys);
  free(build->slots);
  free(build->addresses);
  free(build->listeners);
  free(build->earlier);
  free(build->bindings);
}

int table_endpoints_build(struct route_table *table, const struct route_table *before, struct pace *pace) {
  struct build build = {.table = table, .pace = pace};
  int status = number_addresses(&build);
  if (status == 0)
    status = collect_bindings(&build);
  if (status == 0)
    status = enter_earlier(&build, before);
  size_t ports = status == 0 ? count_endpoints(&build) : 0;
  if (ports > TABLE_MAX_PORTS)
    status = -E2BIG;
  if (status == 0) {
    build.slot_mask = 16;
    while (build.slot_mask < 2 * ports)
      build.slot_mask *= 2;
    build.slot_mask--;
    table->ports = calloc(ports + 1, sizeof *table->ports);
    build.slots = calloc(build.slot_mask + 1, sizeof *build.slots);
    build.sequence.keys = malloc((build.binding_count + 1) * sizeof *build.sequence.keys);
    status = table->ports && build.slots && build.sequence.keys ? build_ports(&build) : -ENOMEM;
  }
  if (status == 0)
    finish_ports(table);
  build_deinit(&build);
  return status;
}
