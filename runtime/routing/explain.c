/* SPDX-License-Identifier: MIT
 *
 * Why a route is chosen and the others are not: asked of each route by itself, without the index, by the same questions
 * and ranks as the choice. What it means in words is said in Lua (lua/moongate/explain/). */
#include "routing/choice.h"

#include "routing/domain.h"
#include "routing/endpoints.h"
#include "routing/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A route with what there is to say about it. */
struct candidate {
  struct route_verdict verdict;
  struct row row;
  struct rank rank;
  bool matches;    /* or it may, by what is open */
  unsigned domain; /* how specific the best that matches is */
  unsigned client; /* the rank of the most specific member that has the client, or of all while that is open */
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

static unsigned most_specific(const struct ip_set *set) {
  unsigned most = 0;
  for (size_t i = 0; i < ip_set_count(set); i++) {
    struct prefix prefix;
    ip_set_prefix(set, i, &prefix);
    most = prefix.bits > most ? prefix.bits : most;
  }
  return most;
}

/* False: the client is said, and not in it. */
static bool match_client(const struct explanation *about, const struct route *route, struct candidate *candidate) {
  const struct ip_address *client = &about->question->client;
  candidate->client = CLIENT_RANK_NONE;
  if (!route->client_ips)
    return true;
  if (about->open & ROUTE_OPEN_CLIENT_IP) {
    candidate->verdict.open |= ROUTE_OPEN_CLIENT_IP;
    candidate->client = CLIENT_RANK_ALL - most_specific(route->client_ips);
    return true;
  }
  int bits = ip_set_specificity(route->client_ips, client);
  candidate->client = CLIENT_RANK_ALL - (unsigned)(bits < 0 ? 0 : bits);
  candidate->verdict.client_ip = ip_set_find(route->client_ips, client);
  return bits >= 0;
}

static bool match_version(const struct explanation *about, const struct route *route, struct candidate *candidate) {
  if (row_takes_version(&candidate->row, about->question->tls_versions))
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
  if (!row_takes_tls(&candidate->row, about->port->has_tls, about->question->is_tls))
    return ROUTE_CLAUSE_TLS;
  if (!match_domain(about, route, candidate))
    return ROUTE_CLAUSE_DOMAIN;
  if (!match_client(about, route, candidate))
    return ROUTE_CLAUSE_CLIENT_IP;
  return match_version(about, route, candidate) ? ROUTE_CLAUSE_CHOSEN : ROUTE_CLAUSE_TLS_VERSION;
}

/* What decides between two of these ranks, which follow each other. */
static enum route_tie tie_between(const struct candidate *a, const struct candidate *b) {
  uint64_t high = a->rank.high ^ b->rank.high, low = a->rank.low ^ b->rank.low;
  if (high >> 32)
    return a->verdict.route->priority != b->verdict.route->priority ? ROUTE_TIE_PRIORITY : ROUTE_TIE_ADDRESS;
  if (high)
    return ROUTE_TIE_DOMAIN;
  if (low >> 56)
    return ROUTE_TIE_CLIENT_IP;
  return low >> 32 ? ROUTE_TIE_TLS_VERSION : ROUTE_TIE_FILE_ORDER;
}

static int compare_candidates(const void *left, const void *right) {
  const struct candidate *a = *(struct candidate *const *)left, *b = *(struct candidate *const *)right;
  return rank_is_before(a->rank, b->rank) ? -1 : rank_is_before(b->rank, a->rank);
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
static void award(struct candidate *const *matching, size_t count) {
  unsigned left = TLS_ALL;
  for (size_t i = 0; i < count; i++) {
    struct route_verdict *verdict = &matching[i]->verdict;
    if (i > 0)
      verdict->tie = tie_between(matching[i - 1], matching[i]);
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
    const struct route_verdict verdict = {.route = route, .clause = ROUTE_CLAUSE_ADDRESS};
    on_verdict(context, &verdict);
  }
}

/* The i-th of the port, behind those before it: one that differs in what goes before all else is one tier further. */
static void explain_one(const struct explanation *about, struct candidate *candidates, size_t i) {
  struct route *route = about->port->routes[i];
  struct candidate *candidate = &candidates[i], *before = i > 0 ? candidate - 1 : candidate;
  struct route_verdict *verdict = &candidate->verdict;
  verdict->route = route;
  verdict->place = i;
  verdict->is_bound = endpoint_is_own(&about->port->endpoint, &route->address);
  bool differs = before->verdict.route->priority != route->priority || before->verdict.is_bound != verdict->is_bound;
  candidate->row = row_make(route, before->row.tier + differs, (uint32_t)i);
  verdict->clause = explain_judge(about, route, candidate);
  candidate->matches = verdict->clause == ROUTE_CLAUSE_CHOSEN;
  unsigned domain = verdict->domain ? DOMAIN_EXACT - candidate->domain : DOMAIN_RANK_NONE;
  candidate->rank = choice_rank(&candidate->row, domain, candidate->client);
}

int route_explain(const struct route_table *table, const struct table_port *port, const struct route_question *question,
                  unsigned open, void (*on_verdict)(void *context, const struct route_verdict *verdict),
                  void *context) {
  struct explanation about = {.port = port, .question = question, .open = open};
  struct candidate *candidates = calloc(port->route_count + 1, sizeof *candidates);
  struct candidate **matching = calloc(port->route_count + 1, sizeof *matching);
  size_t count = 0;
  about.length = domain_normalize(about.name, question->domain, question->domain_length);
  for (size_t i = 0; candidates && matching && i < port->route_count; i++) {
    explain_one(&about, candidates, i);
    if (candidates[i].matches)
      matching[count++] = &candidates[i];
  }
  int status = candidates && matching ? 0 : -ENOMEM;
  if (status == 0) {
    qsort(matching, count, sizeof *matching, compare_candidates);
    award(matching, count);
    for (size_t i = 0; i < count; i++)
      on_verdict(context, &matching[i]->verdict);
    for (size_t i = 0; i < port->route_count; i++)
      if (!candidates[i].matches)
        on_verdict(context, &candidates[i].verdict);
    if (table)
      tell_elsewhere(&about, table, on_verdict, context);
  }
  free(matching);
  free(candidates);
  return status;
}
