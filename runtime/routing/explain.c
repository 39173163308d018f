/* SPDX-License-Identifier: MIT
 *
 * Why a route is chosen and the others are not: asked of each route by itself, without the index, in the words of the
 * route files. */
#include "routing/choice.h"

#include "routing/domain.h"
#include "routing/endpoints.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DETAIL_SIZE = 512, SHOWN_DOMAINS = 3 };

/* A route with what there is to say about it. */
struct candidate {
  struct route_verdict verdict;
  bool is_bound;   /* to this very address */
  unsigned domain; /* how specific; 0: it has none */
  int client_ip;   /* likewise, the most specific member while the client is open; -1: it has none */
  int versions;    /* how many; INT8_MAX: it has none */
};

struct explanation {
  const struct table_port *port;
  const struct route_question *question;
  unsigned open;
  size_t length;
  char name[DOMAIN_SIZE];
};

static const char *const clause_labels[] = {
    [ROUTE_CLAUSE_CHOSEN] = "chosen",
    [ROUTE_CLAUSE_WHEN] = "when",
    [ROUTE_CLAUSE_OUTRANKED] = "outranked",
    [ROUTE_CLAUSE_ADDRESS] = "address",
    [ROUTE_CLAUSE_TLS] = "tls",
    [ROUTE_CLAUSE_DOMAIN] = "domains",
    [ROUTE_CLAUSE_CLIENT_IP] = "client_ip",
    [ROUTE_CLAUSE_TLS_VERSION] = "tls_version",
};
_Static_assert(sizeof clause_labels / sizeof clause_labels[0] == ROUTE_CLAUSE_COUNT, "a label for each clause");

const char *route_clause_label(enum route_clause clause) { return clause_labels[clause]; }

static const char *const tie_labels[] = {
    [ROUTE_TIE_NONE] = "none",
    [ROUTE_TIE_PRIORITY] = "priority",
    [ROUTE_TIE_ADDRESS] = "address",
    [ROUTE_TIE_DOMAIN] = "domains",
    [ROUTE_TIE_CLIENT_IP] = "client_ip",
    [ROUTE_TIE_TLS_VERSION] = "tls_version",
    [ROUTE_TIE_FILE_ORDER] = "file order",
};
_Static_assert(sizeof tie_labels / sizeof tie_labels[0] == ROUTE_TIE_COUNT, "a label for each step");

const char *route_tie_label(enum route_tie tie) { return tie_labels[tie]; }

static bool match_domain(const struct explanation *about, const struct route *route, struct candidate *candidate) {
  for (size_t i = 0; i < route->domain_count && about->length > 0; i++) {
    const char *domain = route->domains[i];
    unsigned specificity = domain_specificity(domain);
    if (candidate->verdict.domain && specificity <= candidate->domain)
      continue;
    bool matches = specificity == DOMAIN_EXACT
                       ? strlen(domain) == about->length && memcmp(domain, about->name, about->length) == 0
                       : domain_matches(domain, strlen(domain), about->name, about->length);
    if (!matches)
      continue;
    candidate->verdict.domain = domain;
    candidate->domain = specificity;
  }
  return route->domain_count == 0 || candidate->verdict.domain;
}

static int most_specific(const struct ip_set *set) {
  int most = -1;
  for (size_t i = 0; i < ip_set_count(set); i++) {
    struct prefix prefix;
    ip_set_prefix(set, i, &prefix);
    most = (int)prefix.bits > most ? (int)prefix.bits : most;
  }
  return most;
}

/* False: the client is said, and not in it. */
static bool match_client(const struct explanation *about, const struct route *route, struct candidate *candidate) {
  const struct ip_address *client = &about->question->client;
  if (!route->client_ips)
    return true;
  if (about->open & ROUTE_OPEN_CLIENT_IP) {
    candidate->verdict.open |= ROUTE_OPEN_CLIENT_IP;
    candidate->client_ip = most_specific(route->client_ips);
    return true;
  }
  candidate->client_ip = ip_set_specificity(route->client_ips, client);
  candidate->verdict.client_ip = ip_set_find(route->client_ips, client);
  return candidate->client_ip >= 0;
}

static bool match_version(const struct explanation *about, const struct route *route, struct candidate *candidate) {
  if (!route->tls_versions || route->tls_versions & about->question->tls_versions)
    return true;
  if (!(about->open & ROUTE_OPEN_TLS_VERSION)) {
    candidate->verdict.open = 0;
    return false;
  }
  if (route->tls_versions != TLS_ALL)
    candidate->verdict.open |= ROUTE_OPEN_TLS_VERSION;
  return true;
}

/* The first clause that turns it down; ROUTE_CLAUSE_CHOSEN: none does. */
static enum route_clause explain_judge(const struct explanation *about, const struct route *route,
                                       struct candidate *candidate) {
  const struct route_question *question = about->question;
  candidate->client_ip = -1;
  candidate->versions = route->tls_versions ? __builtin_popcount(route->tls_versions) : INT8_MAX;
  if (about->port->has_tls && (route->tls != ROUTE_TLS_NONE) != question->is_tls)
    return ROUTE_CLAUSE_TLS;
  if (!match_domain(about, route, candidate))
    return ROUTE_CLAUSE_DOMAIN;
  if (!match_client(about, route, candidate))
    return ROUTE_CLAUSE_CLIENT_IP;
  return match_version(about, route, candidate) ? ROUTE_CLAUSE_CHOSEN : ROUTE_CLAUSE_TLS_VERSION;
}

/* What decides between two that match, and which way: below 0, `a` comes first. */
static int explain_compare(const struct candidate *a, const struct candidate *b, enum route_tie *tie) {
  const struct {
    enum route_tie tie;
    long a, b; /* the higher one first */
  } steps[] = {
      {ROUTE_TIE_PRIORITY, a->verdict.route->priority, b->verdict.route->priority},
      {ROUTE_TIE_ADDRESS, a->is_bound, b->is_bound},
      {ROUTE_TIE_DOMAIN, a->verdict.domain ? (long)a->domain : -1, b->verdict.domain ? (long)b->domain : -1},
      {ROUTE_TIE_CLIENT_IP, a->client_ip, b->client_ip},
      {ROUTE_TIE_TLS_VERSION, -a->versions, -b->versions},
  };
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    *tie = steps[i].tie;
    if (steps[i].a != steps[i].b)
      return steps[i].a > steps[i].b ? -1 : 1;
  }
  *tie = ROUTE_TIE_FILE_ORDER;
  return a->verdict.place < b->verdict.place ? -1 : a->verdict.place > b->verdict.place;
}

/* Or it may, by what is open. */
static bool is_matching(const struct candidate *candidate) {
  return candidate->verdict.clause <= ROUTE_CLAUSE_OUTRANKED;
}

static int compare_candidates(const void *left, const void *right) {
  const struct candidate *a = left, *b = right;
  enum route_tie tie;
  if (is_matching(a) != is_matching(b))
    return is_matching(a) ? -1 : 1;
  if (is_matching(a))
    return explain_compare(a, b, &tie);
  return a->verdict.place < b->verdict.place ? -1 : a->verdict.place > b->verdict.place;
}

static void explain_describe_domains(const struct explanation *about, const struct route *route, char *text) {
  if (about->length == 0) {
    snprintf(text, DETAIL_SIZE, "it has domains, and the client named none");
    return;
  }
  int used =
      snprintf(text, DETAIL_SIZE, "%.*s does not match", (int)(about->length < 100 ? about->length : 100), about->name);
  for (size_t i = 0; i < route->domain_count && i < SHOWN_DOMAINS; i++)
    used += snprintf(text + used, DETAIL_SIZE - (size_t)used, "%s %.100s", i > 0 ? " or" : "", route->domains[i]);
  if (route->domain_count > SHOWN_DOMAINS)
    snprintf(text + used, DETAIL_SIZE - (size_t)used, " or one of %zu more", route->domain_count - SHOWN_DOMAINS);
}

static void describe_versions(const struct explanation *about, const struct route *route, char *text) {
  unsigned offered = about->question->tls_versions;
  const char *before = "only";
  int used = snprintf(text, DETAIL_SIZE, "the highest TLS version that the client offers is %s, and this route takes",
                      offered ? tls_version_label(offered) : "none");
  for (unsigned bit = TLS_1_0; bit <= TLS_1_3; bit *= 2) {
    if (!(route->tls_versions & bit))
      continue;
    used += snprintf(text + used, DETAIL_SIZE - (size_t)used, " %s %s", before, tls_version_label(bit));
    before = "or";
  }
}

static const char *explain_format_address(const struct route *route, char text[ADDRESS_TEXT_SIZE]) {
  struct ip_address ip;
  ip_address_from_sockaddr(&ip, (const struct sockaddr *)&route->address.storage);
  return ip_address_format(&ip, text);
}

/* "matches by address 127.0.0.2, a.com, client_ip 10.0.0.0/8, tls_version 1.3", or what it takes any of. */
static void describe_match(const struct explanation *about, const struct candidate *candidate, char *text) {
  const struct route_verdict *verdict = &candidate->verdict;
  const char *before = "matches by ";
  int used = 0;
  if (candidate->is_bound && verdict->route->address.length) {
    char address[ADDRESS_TEXT_SIZE];
    used = snprintf(text, DETAIL_SIZE, "%saddress %s", before, explain_format_address(verdict->route, address));
    before = ", ";
  }
  if (verdict->domain) {
    used += snprintf(text + used, DETAIL_SIZE - (size_t)used, "%s%.200s", before, verdict->domain);
    before = ", ";
  }
  if (verdict->client_ip) {
    used += snprintf(text + used, DETAIL_SIZE - (size_t)used, "%sclient_ip %.100s", before, verdict->client_ip);
    before = ", ";
  }
  if (verdict->route->tls_versions & about->question->tls_versions)
    used += snprintf(text + used, DETAIL_SIZE - (size_t)used, "%stls_version %s", before,
                     tls_version_label(about->question->tls_versions));
  if (used == 0)
    snprintf(text, DETAIL_SIZE, "takes %s",
             !about->port->has_tls ? "any connection"
             : verdict->route->tls == ROUTE_TLS_NONE
                 ? "any plain connection, whatever host it asks for: TLS on this port goes to the routes with `tls`"
             : about->length > 0 ? "any domain"
                                 : "any domain, and none");
}

static void explain_describe(const struct explanation *about, const struct candidate *candidate, char *text) {
  const struct route *route = candidate->verdict.route;
  char client[ADDRESS_TEXT_SIZE]; /* or address */
  switch (candidate->verdict.clause) {
  case ROUTE_CLAUSE_TLS:
    snprintf(text, DETAIL_SIZE, "%s",
             about->question->is_tls ? "TLS on this port goes to the routes with `tls`, and this one has none"
                                     : "it takes TLS, and this connection is plain");
    return;
  case ROUTE_CLAUSE_DOMAIN:
    explain_describe_domains(about, route, text);
    return;
  case ROUTE_CLAUSE_CLIENT_IP:
    snprintf(text, DETAIL_SIZE, "%s is not in its client_ip", ip_address_format(&about->question->client, client));
    return;
  case ROUTE_CLAUSE_TLS_VERSION:
    describe_versions(about, route, text);
    return;
  case ROUTE_CLAUSE_ADDRESS:
    snprintf(text, DETAIL_SIZE, "takes only what comes in at %s",
             route->address.length ? explain_format_address(route, client) : "other addresses");
    return;
  default:
    describe_match(about, candidate, text);
  }
}

/* What becomes of one that matches, or may; `left`: the TLS versions that no route before it has taken for sure. */
static enum route_clause award_one(const struct route_verdict *verdict, unsigned *left) {
  const struct route *route = verdict->route;
  unsigned versions = verdict->open & ROUTE_OPEN_TLS_VERSION ? route->tls_versions : *left;
  bool has_when = route->when_function != ROUTE_NO_FUNCTION;
  if (!(versions & *left))
    return ROUTE_CLAUSE_OUTRANKED;
  if (verdict->open & ROUTE_OPEN_CLIENT_IP)
    return ROUTE_CLAUSE_CLIENT_IP;
  if (!has_when)
    *left &= ~versions;
  return verdict->open ? ROUTE_CLAUSE_TLS_VERSION : has_when ? ROUTE_CLAUSE_WHEN : ROUTE_CLAUSE_CHOSEN;
}

/* Those that match, in order: until one has no `when`, and nothing of it is open, it is open which it is. */
static void award(struct candidate *candidates, size_t count) {
  unsigned left = TLS_ALL;
  for (size_t i = 0; i < count && is_matching(&candidates[i]); i++) {
    struct route_verdict *verdict = &candidates[i].verdict;
    if (i > 0)
      explain_compare(&candidates[i - 1], &candidates[i], &verdict->tie);
    verdict->clause = award_one(verdict, &left);
  }
}

/* Routes of the same port number that other addresses have. */
static void tell_elsewhere(const struct explanation *about, const struct route_table *table,
                           void (*on_verdict)(void *, const struct route_verdict *), void *context) {
  for (size_t i = 0; i < table->route_count; i++) {
    const struct route *route = table->routes[i];
    bool has_port = false;
    for (size_t p = 0; p < route->port_count; p++)
      has_port |= route->ports[p].from <= about->port->port && about->port->port <= route->ports[p].to;
    if (!has_port || about->port->port == 0 || table_port_has(about->port, route))
      continue;
    struct candidate candidate = {.verdict = {.route = route, .clause = ROUTE_CLAUSE_ADDRESS}};
    char detail[DETAIL_SIZE];
    explain_describe(about, &candidate, detail);
    candidate.verdict.detail = detail;
    on_verdict(context, &candidate.verdict);
  }
}

int route_explain(const struct route_table *table, const struct table_port *port, const struct route_question *question,
                  unsigned open, void (*on_verdict)(void *context, const struct route_verdict *verdict),
                  void *context) {
  struct explanation about = {.port = port, .question = question, .open = open};
  struct candidate *candidates = calloc(port->route_count + 1, sizeof *candidates);
  if (!candidates)
    return -ENOMEM;
  about.length = domain_normalize(about.name, question->domain, question->domain_length);
  for (size_t i = 0; i < port->route_count; i++) {
    const struct route *route = port->routes[i];
    struct candidate *candidate = &candidates[i];
    candidate->verdict.route = route;
    candidate->verdict.place = i;
    candidate->is_bound = endpoint_is_own(&port->endpoint, &route->address);
    candidate->verdict.clause = explain_judge(&about, route, candidate);
  }
  qsort(candidates, port->route_count, sizeof *candidates, compare_candidates);
  award(candidates, port->route_count);
  for (size_t i = 0; i < port->route_count; i++) {
    char detail[DETAIL_SIZE];
    explain_describe(&about, &candidates[i], detail);
    candidates[i].verdict.detail = detail;
    on_verdict(context, &candidates[i].verdict);
  }
  free(candidates);
  if (table)
    tell_elsewhere(&about, table, on_verdict, context);
  return 0;
}
