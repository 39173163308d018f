/* SPDX-License-Identifier: MIT
 *
 * Any routes, any names, any addresses: the index has to choose the same routes in the same order as one who looks at
 * each of them, and a pattern has to take what the plainest matcher says it takes. The input is text: words apart by
 * blanks or NULs; what is in a word is a domain, a set of addresses or a name by the digit before it. */
#include "routing/choice.h"
#include "routing/domain.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROUTES = 24, MAX_WORD = 300 };

static void check(bool holds) {
  if (!holds)
    abort();
}

/* Which beginnings of the name the pattern so far takes, character by character. */
static bool matches(const char *pattern, size_t pattern_length, const char *name, size_t length) {
  bool takes[MAX_WORD + 1] = {true};
  for (size_t p = 0; p < pattern_length; p++) {
    if (pattern[p] == '*') {
      for (size_t i = 1; i <= length; i++)
        takes[i] |= takes[i - 1];
      continue;
    }
    for (size_t i = length; i > 0; i--)
      takes[i] = takes[i - 1] && (pattern[p] == '?' || pattern[p] == name[i - 1]);
    takes[0] = false;
  }
  return takes[length];
}

struct words {
  struct route *routes[MAX_ROUTES];
  size_t route_count;
  char name[MAX_WORD];
  size_t name_length;
  struct ip_address client;
};

static struct route *add_route(struct words *words, unsigned kind) {
  if (words->route_count == MAX_ROUTES)
    return words->routes[MAX_ROUTES - 1];
  struct route *route = words->routes[words->route_count] = route_new();
  check(route != NULL);
  route->name = strdup("fuzz");
  route->ports = calloc(1, sizeof *route->ports);
  check(route->name && route->ports);
  route->ports[0] = (struct port_range){443, 443};
  route->port_count = 1;
  route->priority = kind % 2;
  route->tls = kind & 2 ? ROUTE_TLS_PASSTHROUGH : ROUTE_TLS_NONE;
  route->tls_versions = kind & 4 ? TLS_1_3 : 0;
  words->route_count++;
  return route;
}

static void add_domain(struct route *route, const char *word, size_t length) {
  char **domains = realloc(route->domains, (route->domain_count + 1) * sizeof *domains);
  check(domains != NULL);
  route->domains = domains;
  char *domain = domains[route->domain_count++] = calloc(1, length + 1);
  check(domain != NULL);
  for (size_t i = 0; i < length; i++)
    domain[i] = (char)(word[i] >= 'A' && word[i] <= 'Z' ? word[i] + 32 : word[i]);
}

static void add_set(struct route *route, const char *word) {
  const char *texts[4] = {word};
  size_t count = 1;
  for (size_t i = 0; route->client_ips && i < ip_set_count(route->client_ips) && count < 4; i++)
    texts[count++] = ip_set_text(route->client_ips, i);
  struct error error = {0};
  struct ip_set *set = ip_set_new(texts, count, &error);
  check(set || error.message[0]);
  if (!set)
    return;
  ip_set_unref(route->client_ips);
  route->client_ips = set;
}

/* 0 to 7: a new route. d: a domain, c: a client_ip of it. n: the name, a: the address that are asked. */
static void take_word(struct words *words, const char *word, size_t length) {
  struct route *route = words->route_count ? words->routes[words->route_count - 1] : add_route(words, 0);
  struct endpoint endpoint;
  if (*word >= '0' && *word <= '7') {
    add_route(words, (unsigned)(*word - '0'));
  } else if (*word == 'd') {
    add_domain(route, word + 1, length - 1);
  } else if (*word == 'c') {
    add_set(route, word + 1);
  } else if (*word == 'n') {
    words->name_length = length - 1;
    memcpy(words->name, word + 1, length - 1);
  } else if (*word == 'a' && endpoint_from_literal(&endpoint, word + 1, 0) == 0) {
    ip_address_from_sockaddr(&words->client, (const struct sockaddr *)&endpoint.storage);
  }
}

struct walk {
  struct route_choice choice;
  const struct route_question *question;
};

static void on_verdict(void *context, const struct route_verdict *verdict) {
  struct walk *walk = context;
  if (verdict->clause <= ROUTE_CLAUSE_OUTRANKED)
    check(route_choice_next(&walk->choice, walk->question) == verdict->route);
}

static void ask(const struct words *words, const struct table_port *port, bool is_tls, unsigned versions) {
  struct route_question question = {.domain = words->name,
                                    .domain_length = words->name_length,
                                    .client = words->client,
                                    .is_tls = is_tls,
                                    .tls_versions = versions};
  struct walk walk = {.question = &question};
  route_choice_begin(&walk.choice, port);
  check(route_explain(NULL, port, &question, 0, on_verdict, &walk) == 0);
  check(route_choice_next(&walk.choice, &question) == NULL);
}

static void check_patterns(const struct words *words) {
  char name[DOMAIN_SIZE];
  size_t length = domain_normalize(name, words->name, words->name_length);
  for (size_t i = 0; i < words->route_count; i++) {
    const struct route *route = words->routes[i];
    for (size_t d = 0; d < route->domain_count; d++) {
      size_t pattern_length = strlen(route->domains[d]);
      bool taken = domain_matches(route->domains[d], pattern_length, name, length);
      check(taken == matches(route->domains[d], pattern_length, name, length));
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct words words = {.route_count = 0};
  struct error error = {0};
  for (size_t at = 0; at < size;) {
    char word[MAX_WORD];
    size_t length = 0;
    for (; at < size && bytes[at] != ' ' && bytes[at] != '\0' && length < MAX_WORD - 1; at++)
      word[length++] = (char)bytes[at];
    word[length] = '\0';
    if (length > 0)
      take_word(&words, word, length);
    else
      at++;
  }
  struct route_table *table = route_table_new(words.routes, words.route_count, NULL, 0, NULL, &error);
  check(table != NULL);
  if (table->port_count > 0) {
    ask(&words, &table->ports[0], false, 0);
    ask(&words, &table->ports[0], true, TLS_1_3);
    ask(&words, &table->ports[0], true, TLS_1_2);
  }
  check_patterns(&words);
  route_table_unref(table);
  for (size_t i = 0; i < words.route_count; i++)
    route_unref(words.routes[i]);
  return 0;
}
