/* SPDX-License-Identifier: MIT
 *
 * The choice of a route: which of a port's routes match a connection, best first: priority, then bound to this very
 * address, then the most specific domain (a name before a pattern, and the more of a pattern is spelled out the
 * earlier; none at all last), then the most specific member of client_ip (none last), then tls_version (fewer
 * versions first, none last), then file order. Each route comes once, as its best domain and member rank it.
 *
 * Nothing is allocated, and the time does not grow with the number of routes: names, "*.suffix" and "prefix.*" are
 * found by hash, addresses in a tree. What is looked at one by one: patterns of other forms, those among them that
 * share a suffix or prefix of whole labels ("api-*.example.com": all of "*.example.com") by themselves; sets of
 * addresses with a glob that is no prefix; and routes that match the very same. */
#pragma once

#include "routing/table.h"

/* What is known of a connection. All that it points to has to stay during the calls only. */
struct route_question {
  const char *domain;       /* SNI or Host as it came, any bytes: case, a port and a trailing dot don't matter */
  size_t domain_length;     /* 0: none; then routes with domains don't match, not those of "*" either */
  struct ip_address client; /* not set: routes with client_ip don't match */
  bool is_tls;              /* on a port without TLS routes it doesn't matter */
  unsigned tls_versions;    /* the bit of the highest version offered; 0: routes with tls_version don't match */
};

/* Where the walk through the matching routes is. */
struct route_choice {
  const struct table_port *port; /* outlives it */
  uint64_t high, low;            /* the rank of the last one */
};

void route_choice_begin(struct route_choice *choice, const struct table_port *port);

/* The best match, then the next best: for when its `when` says no, perhaps much later. The question has to be the same
 * each time. NULL: there are no more. The table has it. */
struct route *route_choice_next(struct route_choice *choice, const struct route_question *question);

/* Why a route is not chosen, or that it is. */
enum route_clause {
  ROUTE_CLAUSE_CHOSEN,
  ROUTE_CLAUSE_WHEN,        /* it matches, and stands before the chosen one: its `when` has the last word */
  ROUTE_CLAUSE_OUTRANKED,   /* it matches, and a better one does too */
  ROUTE_CLAUSE_ADDRESS,     /* it is bound to another address */
  ROUTE_CLAUSE_TLS,         /* it takes TLS and this is plain, or the other way round */
  ROUTE_CLAUSE_DOMAIN,      /* none of its domains is this one */
  ROUTE_CLAUSE_CLIENT_IP,   /* the client is in none of its sets */
  ROUTE_CLAUSE_TLS_VERSION, /* another version */
  ROUTE_CLAUSE_COUNT
};

/* "chosen", "when", "outranked", …, "tls_version": stable names. */
const char *route_clause_label(enum route_clause clause);

/* What decided between a route and the one before it in the order of choice. */
enum route_tie {
  ROUTE_TIE_NONE, /* it is the first */
  ROUTE_TIE_PRIORITY,
  ROUTE_TIE_ADDRESS,
  ROUTE_TIE_DOMAIN,
  ROUTE_TIE_CLIENT_IP,
  ROUTE_TIE_TLS_VERSION,
  ROUTE_TIE_FILE_ORDER,
  ROUTE_TIE_COUNT
};

const char *route_tie_label(enum route_tie tie);

/* What a question may leave open, as bits. */
enum route_open { ROUTE_OPEN_CLIENT_IP = 1, ROUTE_OPEN_TLS_VERSION = 2 };

struct route_verdict {
  const struct route *route;
  enum route_clause clause;
  unsigned open;         /* bits of enum route_open: what is left open and it asks for, while all else matches. The
                            clause is of the first of them then, or that it is outranked whatever they are */
  enum route_tie tie;    /* of those that match, or may: why it comes after the one before */
  size_t place;          /* among the port's routes */
  const char *domain;    /* of its domains, the best that matches; NULL: none, or it has none */
  const char *client_ip; /* of its client_ip, likewise */
  bool is_bound;         /* to the port's very address, or to all where the port has that */
};

/* Tells of all routes of the port first those that match, or may, in the order of choice, then the others, in the
 * order of priority and file; then, when `table` is given, those of the same port number that are bound to other
 * addresses. `open` are bits of enum route_open: what is not said, rather than none. 0 or -ENOMEM. Takes time with the
 * number of routes, their domains and, where those are open, the members of their client_ip. */
int route_explain(const struct route_table *table, const struct table_port *port, const struct route_question *question,
                  unsigned open, void (*on_verdict)(void *context, const struct route_verdict *verdict), void *context);
