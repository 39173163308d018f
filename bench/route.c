/* SPDX-License-Identifier: MIT
 *
 * What choosing a route costs: `route COUNT` makes a table of COUNT routes, half of them for a name, half for
 * "*.name", builds its index, and asks it names in random order, so that little of it is in the cache. Prints
 * nanoseconds a choice, the best of several passes, as JSON. */
#include "routing/choice.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAME_SIZE = DOMAIN_NAME_SIZE, ASKED = 200000, PASSES = 15 };

struct question_list {
  char (*names)[NAME_SIZE];
  uint8_t *lengths;
};

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static uint64_t random_next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void *need(void *block) {
  if (!block) {
    fputs("route: no memory\n", stderr);
    exit(1);
  }
  return block;
}

static struct route *make_route(size_t number) {
  struct route *route = need(route_new());
  char name[NAME_SIZE], domain[NAME_SIZE + 2];
  domain_name_write(name, number);
  snprintf(domain, sizeof domain, "%s%s", number % 2 ? "*." : "", name);
  route->name = need(strdup(name));
  route->file = need(strdup("bench.lua"));
  route->tls = ROUTE_TLS_PASSTHROUGH;
  route->ports = need(calloc(1, sizeof *route->ports));
  route->ports[0] = (struct port_range){443, 443};
  route->port_count = 1;
  route->domains = need(calloc(1, sizeof(char *)));
  route->domains[0] = need(strdup(domain));
  route->domain_count = 1;
  return route;
}

static struct route_table *make_table(size_t count, double *build_ns) {
  struct error error;
  struct route **routes = need(calloc(count + 1, sizeof(struct route *)));
  for (size_t i = 0; i < count; i++)
    routes[i] = make_route(i);
  double start = now();
  struct route_table *table = route_table_new(routes, count, NULL, 0, NULL, &error);
  *build_ns = now() - start;
  if (!table) {
    fprintf(stderr, "route: %s\n", error.message);
    exit(1);
  }
  for (size_t i = 0; i < count; i++)
    route_unref(routes[i]);
  free(routes);
  return table;
}

enum { PRESENT, WILDCARD, ABSENT };

static void make_questions(struct question_list *list, size_t count, int kind) {
  uint64_t state = 88172645463325252;
  for (size_t i = 0; i < ASKED; i++) {
    size_t number = random_next(&state) % count;
    char name[NAME_SIZE];
    domain_name_write(name, kind == ABSENT ? number + count : kind == WILDCARD ? number | 1 : number & ~(size_t)1);
    int length = snprintf(list->names[i], NAME_SIZE, "%.40s%.40s", kind == WILDCARD ? "www." : "", name);
    list->lengths[i] = (uint8_t)length;
  }
}

static double measure(const struct table_port *port, const struct question_list *list, size_t *found) {
  double best = 1e9;
  for (size_t pass = 0; pass < PASSES; pass++) {
    *found = 0;
    double start = now();
    for (size_t i = 0; i < ASKED; i++) {
      struct route_question question = {
          .domain = list->names[i], .domain_length = list->lengths[i], .is_tls = true, .tls_versions = TLS_1_3};
      struct route_choice choice;
      route_choice_begin(&choice, port);
      *found += route_choice_next(&choice, &question) != NULL;
    }
    double ns = (now() - start) / ASKED;
    best = ns < best ? ns : best;
  }
  return best;
}

int main(int count, char **words) {
  size_t routes = count == 2 ? strtoul(words[1], NULL, 10) : 0;
  if (routes < 2) {
    fputs("usage: route COUNT\n", stderr);
    return 2;
  }
  struct question_list list = {need(calloc(ASKED, sizeof *list.names)), need(calloc(ASKED, 1))};
  double build_ns, ns[3];
  size_t found[3];
  struct route_table *table = make_table(routes, &build_ns);
  for (int kind = PRESENT; kind <= ABSENT; kind++) {
    make_questions(&list, routes, kind);
    ns[kind] = measure(&table->ports[0], &list, &found[kind]);
  }
  bool right = found[PRESENT] == ASKED && found[WILDCARD] == ASKED && found[ABSENT] == 0;
  printf(
      "{\"routes\":%zu,\"build_ms\":%.2f,\"present_ns\":%.1f,\"wildcard_ns\":%.1f,\"absent_ns\":%.1f,\"right\":%s}\n",
      routes, build_ns / 1e6, ns[PRESENT], ns[WILDCARD], ns[ABSENT], right ? "true" : "false");
  route_table_unref(table);
  free(list.names);
  free(list.lengths);
  return right ? 0 : 1;
}
