/* SPDX-License-Identifier: MIT
 *
 * Which route is chosen, and which comes next: rule by rule, and for random routes and connections as one who looks at
 * every route would choose. */
#include "routes.h"

#include "routing/cases.h"
#include "routing/domain.h"

#include <stdio.h>

/* The names of all that match, best first, one blank between. */
static const char *walk(const struct table_port *port, const struct route_question *question) {
  static _Thread_local char text[8192];
  struct route_choice choice;
  size_t used = 0;
  text[0] = '\0';
  route_choice_begin(&choice, port);
  for (const struct route *route; (route = route_choice_next(&choice, question));)
    used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? " " : "", route->name);
  return text;
}

/* The same by looking at each. */
static void on_verdict(void *context, const struct route_verdict *verdict) {
  char *text = context;
  if (verdict->clause <= ROUTE_CLAUSE_OUTRANKED) {
    strcat(text, text[0] ? " " : "");
    strcat(text, verdict->route->name);
  }
}

static const char *walk_slowly(const struct table_port *port, const struct route_question *question) {
  static _Thread_local char text[8192];
  text[0] = '\0';
  assert_int_equal(route_explain(NULL, port, question, 0, on_verdict, text), 0);
  return text;
}

struct expectation {
  const char *domain, *client, *routes;
  bool is_tls;
  unsigned versions;
};

/* Expectations end with one without routes. */
static void check(const struct wish *wishes, const struct expectation *expected) {
  struct route_table *table = make_table(wishes);
  for (; expected->routes; expected++) {
    struct route_question question = {.domain = expected->domain,
                                      .domain_length = expected->domain ? strlen(expected->domain) : 0,
                                      .is_tls = expected->is_tls,
                                      .tls_versions = expected->versions};
    if (expected->client)
      question.client = address_of(expected->client);
    assert_string_equal(walk(&table->ports[0], &question), expected->routes);
    assert_string_equal(walk_slowly(&table->ports[0], &question), expected->routes);
  }
  route_table_unref(table);
}

#define CHECK(wishes, ...) check((wishes), (const struct expectation[]){__VA_ARGS__, {0}})
#define ROUTES(...) ((const struct wish[]){__VA_ARGS__, {0}})

static void a_name_comes_before_patterns_and_more_before_less(void **state) {
  (void)state;
  CHECK(ROUTES({"any"}, {"star", {"*"}}, {"com", {"*.com"}}, {"wild", {"*.example.com"}}, {"deep", {"*.b.example.com"}},
               {"tld", {"a.b.example.*"}}, {"glob", {"a.?.example.com"}}, {"exact", {"a.b.example.com"}}),
        {"a.b.example.com", NULL, "exact glob deep wild tld com star any"},
        {"x.b.example.com", NULL, "deep wild com star any"}, {"example.com", NULL, "com star any"},
        {"a.b.example.org", NULL, "tld star any"}, {"localhost", NULL, "star any"}, {NULL, NULL, "any"});
}

static void a_wildcard_takes_any_number_of_labels_but_none(void **state) {
  (void)state;
  CHECK(ROUTES({"wild", {"*.example.com"}}), {"a.example.com", NULL, "wild"}, {"a.b.c.example.com", NULL, "wild"},
        {"example.com", NULL, ""}, {"badexample.com", NULL, ""}, {"a.example.com.evil", NULL, ""});
}

static void patterns_of_every_form_match(void **state) {
  (void)state;
  CHECK(ROUTES({"tld", {"example.*"}}, {"odd", {"api-*.example.?om"}}, {"middle", {"www.*.net"}}, {"tail", {"*-x"}},
               {"bare", {"*example.org"}}),
        {"example.co.uk", NULL, "tld"}, {"api-1.example.com", NULL, "odd"}, {"api-.example.tom", NULL, "odd"},
        {"api-1.example.dom.net", NULL, ""}, {"www.a.b.net", NULL, "middle"}, {"www.net", NULL, ""},
        {"a.b-x", NULL, "tail"}, {"myexample.org", NULL, "bare"}, {"example.org", NULL, "bare tld"});
}

static void case_port_and_trailing_dot_do_not_matter(void **state) {
  (void)state;
  CHECK(ROUTES({"exact", {"example.com"}}, {"wild", {"*.example.com"}}, {"six", {"[2001:db8::1]"}}),
        {"EXAMPLE.com", NULL, "exact"}, {"example.com:8443", NULL, "exact"}, {"Example.Com.:80", NULL, "exact"},
        {"WWW.EXAMPLE.COM.", NULL, "wild"}, {"example.com..", NULL, ""}, {"example.com:http", NULL, ""},
        {"[2001:DB8::1]:443", NULL, "six"}, {"[2001:db8::1]", NULL, "six"}, {".", NULL, ""}, {":80", NULL, ""});
}

static void priority_goes_before_everything(void **state) {
  (void)state;
  CHECK(ROUTES({"exact", {"example.com"}, {"10.0.0.1"}}, {"any", .priority = 1},
               {"low", {"example.com"}, .priority = -1}),
        {"example.com", "10.0.0.1", "any exact low"}, {NULL, NULL, "any"});
}

static void domains_go_before_client_addresses(void **state) {
  (void)state;
  CHECK(ROUTES({"client", .client_ips = {"10.0.0.1"}}, {"wild", {"*.com"}}, {"both", {"*.com"}, {"10.0.0.0/8"}}),
        {"a.com", "10.0.0.1", "both wild client"}, {"a.com", "11.0.0.1", "wild"}, {"a.com", NULL, "wild"});
}

static void the_narrower_client_set_goes_first(void **state) {
  (void)state;
  CHECK(ROUTES({"any"}, {"all", .client_ips = {"*"}}, {"eight", .client_ips = {"10.0.0.0/8"}},
               {"host", .client_ips = {"10.1.2.3", "0.0.0.0/0"}}, {"glob", .client_ips = {"10.?.2.3"}},
               {"sixteen", .client_ips = {"192.168.*", "10.1.*"}}),
        {NULL, "10.1.2.3", "host glob sixteen eight all any"}, {NULL, "10.2.2.3", "glob eight host all any"},
        {NULL, "2001:db8::1", "all any"}, {NULL, "11.0.0.1", "host all any"}, {NULL, NULL, "any"});
}

static void tls_routes_take_tls_and_plain_ones_the_rest(void **state) {
  (void)state;
  CHECK(ROUTES({"plain"}, {"tls", .tls = true}, {"site", {"a.com"}, .tls = true}), {"a.com", NULL, "site tls", true},
        {NULL, NULL, "tls", true}, {NULL, NULL, "plain", false}, {"a.com", NULL, "plain", false});
  CHECK(ROUTES({"bytes"}), {NULL, NULL, "bytes", true}, {NULL, NULL, "bytes", false});
}

static void the_tls_version_has_to_be_in_the_set_and_fewer_go_first(void **state) {
  (void)state;
  CHECK(ROUTES({"any", .tls = true}, {"new", .tls = true, .versions = TLS_1_2 | TLS_1_3},
               {"newest", .tls = true, .versions = TLS_1_3}, {"old", .tls = true, .versions = TLS_1_0 | TLS_1_1}),
        {NULL, NULL, "newest new any", true, TLS_1_3}, {NULL, NULL, "new any", true, TLS_1_2},
        {NULL, NULL, "old any", true, TLS_1_0}, {NULL, NULL, "any", true, 0});
}

static void file_order_decides_between_equals(void **state) {
  (void)state;
  CHECK(ROUTES({"first", {"a*.com"}}, {"second", {"*b.com"}}, {"third", {"a*.com"}}),
        {"ab.com", NULL, "first second third"});
}

static void a_route_comes_once_however_it_matches(void **state) {
  (void)state;
  CHECK(ROUTES({"many", {"a.com", "*.com", "a*", "*"}, {"10.0.0.0/8", "10.0.0.1", "*"}}, {"one", {"*.com"}}, {"any"}),
        {"a.com", "10.0.0.1", "many one any"}, {"b.com", "11.0.0.1", "many one any"}, {"b.org", "10.0.0.2", "many any"},
        {"b.org", NULL, "any"});
}

static void an_address_of_its_own_goes_before_the_domain(void **state) {
  (void)state;
  struct route_table *table =
      make_table(ROUTES({"exact", {"a.com"}}, {"here", .address = "127.0.0.1"}, {"urgent", {"*.com"}, .priority = 1}));
  struct route_question question = {.domain = "a.com", .domain_length = 5};
  assert_int_equal(table->port_count, 2);
  const struct table_port *own = &table->ports[table->ports[0].endpoint.storage.ss_family == AF_INET6];
  assert_string_equal(walk(own, &question), "urgent here exact");
  assert_string_equal(walk_slowly(own, &question), "urgent here exact");
  route_table_unref(table);
}

static void names_of_any_length_and_bytes_do_no_harm(void **state) {
  (void)state;
  struct route_table *table = make_table(ROUTES({"star", {"*"}}, {"wild", {"*.a"}}, {"glob", {"*a*a*a*b"}}, {"any"}));
  char name[600];
  for (size_t length = 0; length <= sizeof name; length++) {
    for (size_t i = 0; i < length; i++)
      name[i] = i % 2 ? 'a' : '.';
    struct route_question question = {.domain = name, .domain_length = length};
    bool is_name = length > 1 && length <= 256 && length - (name[length - 1] == '.') <= 255;
    assert_int_equal(strncmp(walk(&table->ports[0], &question), "any", 3) != 0, is_name);
    assert_string_equal(walk(&table->ports[0], &question), walk_slowly(&table->ports[0], &question));
  }
  struct route_question question = {.domain = "a\0b.a", .domain_length = 5};
  assert_string_equal(walk(&table->ports[0], &question), "wild star any");
  route_table_unref(table);
}

/* Small alphabets, so that much is equal. */
static unsigned pick(uint64_t *state, unsigned count) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (unsigned)(*state >> 33) % count;
}

static const char *const some_domains[] = {"a.b.c", "b.c",   "*.c", "*.b.c", "a.*",   "a.b.*",
                                           "*",     "?.b.c", "a*c", "*a*",   "a-*.c", "*.*.c",
                                           "x.c",   "a.?.c", "**",  "a.b?c", "*b.c",  "??b.c"};
static const char *const some_names[] = {"a.b.c", "b.c", "x.c", "a.x", "a-1.c", "a.b.c.d", "A.B.C", "", "c", "y.b.c"};
static const char *const some_sets[] = {"10.0.0.0/8",   "10.0.0.1",     "*",           "10.0.*", "10.?.0.1",
                                        "0.0.0.0/0",    "::/0",         "2001:db8::1", "*.1",    "10.0.0.0/9",
                                        "10.128.0.0/9", "2001:db8::/32"};
static const char *const some_clients[] = {"10.0.0.1", "10.0.0.2", "10.200.0.1", "11.0.0.1", "2001:db8::1", "::1"};
#define COUNT_OF(array) (unsigned)(sizeof(array) / sizeof(array)[0])

static void make_wishes(uint64_t *seed, struct wish *wishes, char (*names)[16], unsigned count) {
  bool with_tls = pick(seed, 2);
  for (unsigned i = 0; i < count; i++) {
    struct wish *wish = &wishes[i];
    *wish = (struct wish){.name = names[i], .priority = (int)pick(seed, 2), .tls = with_tls && pick(seed, 2)};
    snprintf(names[i], sizeof names[i], "r%u", i);
    for (unsigned d = pick(seed, 4), n = 0; n < d; n++)
      wish->domains[n] = some_domains[pick(seed, COUNT_OF(some_domains))];
    for (unsigned c = pick(seed, 2) * pick(seed, 4), n = 0; n < c; n++)
      wish->client_ips[n] = some_sets[pick(seed, COUNT_OF(some_sets))];
    wish->versions = with_tls && pick(seed, 4) == 0 ? pick(seed, 16) : 0;
  }
  wishes[count] = (struct wish){0};
}

static void the_index_chooses_as_one_who_looks_at_every_route(void **state) {
  (void)state;
  uint64_t seed = 7;
  struct wish wishes[64];
  char names[64][16];
  for (int round = 0; round < 300; round++) {
    make_wishes(&seed, wishes, names, 1 + pick(&seed, round % 2 ? 60 : 6));
    struct route_table *table = make_table(wishes);
    for (unsigned i = 0; i < COUNT_OF(some_names) * COUNT_OF(some_clients); i++) {
      const char *name = some_names[i % COUNT_OF(some_names)];
      struct route_question question = {.domain = name,
                                        .domain_length = strlen(name),
                                        .client = address_of(some_clients[i / COUNT_OF(some_names)]),
                                        .is_tls = pick(&seed, 2),
                                        .tls_versions = 1U << pick(&seed, 4)};
      assert_string_equal(walk(&table->ports[0], &question), walk_slowly(&table->ports[0], &question));
    }
    route_table_unref(table);
  }
}

/* Those that a connection may get: up to the first without `when`. */
static void walk_to_the_end(const struct table_port *port, const struct route_question *question, char *text) {
  struct route_choice choice;
  text[0] = '\0';
  route_choice_begin(&choice, port);
  for (const struct route *route; (route = route_choice_next(&choice, question));) {
    strcat(strcat(text, " "), route->name);
    if (route->when_function == ROUTE_NO_FUNCTION)
      return;
  }
}

static void on_case_verdict(void *context, const struct route_verdict *verdict) {
  assert_int_equal(route_cases_add(context, verdict), 0);
}

static bool fits(const struct route_case *one, const struct route_question *question) {
  int specificity = one->most < 0 ? -1 : ip_set_specificity(one->route->client_ips, &question->client);
  return specificity >= one->least && specificity <= one->most &&
         (!one->tls_versions || one->tls_versions & question->tls_versions);
}

static void walk_cases(const struct route_cases *cases, const struct route_question *question, char *text) {
  text[0] = '\0';
  for (size_t i = 0; i < cases->count; i++) {
    const struct route *route = cases->list[i].route;
    if (!fits(&cases->list[i], question))
      continue;
    strcat(strcat(text, " "), route->name);
    if (route->when_function == ROUTE_NO_FUNCTION)
      return;
  }
}

static void check_cases(const struct table_port *port, struct route_question question, unsigned open) {
  struct route_cases cases = {.count = 0};
  struct route_question asked = question;
  char expected[1024], text[1024];
  if (open & ROUTE_OPEN_CLIENT_IP)
    asked.client = (struct ip_address){.is_set = false};
  if (open & ROUTE_OPEN_TLS_VERSION)
    asked.tls_versions = 0;
  assert_int_equal(route_explain(NULL, port, &asked, open, on_case_verdict, &cases), 0);
  route_cases_finish(&cases);
  for (unsigned i = 0; i < COUNT_OF(some_clients) * 4; i++) {
    if (open & ROUTE_OPEN_CLIENT_IP)
      question.client = address_of(some_clients[i / 4]);
    if (open & ROUTE_OPEN_TLS_VERSION)
      question.tls_versions = 1U << i % 4;
    walk_to_the_end(port, &question, expected);
    walk_cases(&cases, &question, text);
    assert_string_equal(text, expected);
  }
  route_cases_deinit(&cases);
}

static void what_is_open_gives_cases_of_which_the_first_that_fits_is_the_choice(void **state) {
  (void)state;
  uint64_t seed = 11;
  struct wish wishes[64];
  char names[64][16];
  for (int round = 0; round < 300; round++) {
    make_wishes(&seed, wishes, names, 1 + pick(&seed, round % 2 ? 60 : 6));
    for (struct wish *wish = wishes; wish->name; wish++)
      wish->when = pick(&seed, 4) == 0;
    struct route_table *table = make_table(wishes);
    for (unsigned i = 0; i < COUNT_OF(some_names); i++) {
      struct route_question question = {.domain = some_names[i],
                                        .domain_length = strlen(some_names[i]),
                                        .client = address_of(some_clients[pick(&seed, COUNT_OF(some_clients))]),
                                        .is_tls = pick(&seed, 2),
                                        .tls_versions = 1U << pick(&seed, 4)};
      for (unsigned open = 0; open <= (ROUTE_OPEN_CLIENT_IP | ROUTE_OPEN_TLS_VERSION); open++)
        check_cases(&table->ports[0], question, open);
    }
    route_table_unref(table);
  }
}

static void among_thousands_of_domains_each_is_found_and_no_other(void **state) {
  (void)state;
  enum { COUNT = 6000 };
  static const char *const forms[] = {"n%u.example.com", "*.w%u.example.com", "p%u.example.*", "x*.m%u.example.com"};
  static const char *const asked[] = {"n%u.example.com", "a.b.w%u.example.com", "p%u.example.org",
                                      "xy.m%u.example.com"};
  struct wish *wishes = calloc(COUNT + 1, sizeof *wishes);
  char(*domains)[32] = calloc(COUNT, sizeof *domains);
  assert_non_null(wishes);
  assert_non_null(domains);
  for (unsigned i = 0; i < COUNT; i++) {
    snprintf(domains[i], sizeof domains[i], forms[i % 4], i);
    wishes[i] = (struct wish){.name = domains[i], .priority = (int)(i % 7), .domains = {domains[i]}};
  }
  struct route_table *table = make_table(wishes);
  for (unsigned i = 0; i < 2 * COUNT; i++) {
    char name[48];
    snprintf(name, sizeof name, asked[i % 4], i);
    struct route_question question = {.domain = name, .domain_length = strlen(name)};
    assert_string_equal(walk(&table->ports[0], &question), i < COUNT ? domains[i] : "");
  }
  route_table_unref(table);
  free(domains);
  free(wishes);
}

static void a_name_may_match_at_every_one_of_many_labels(void **state) {
  (void)state;
  enum { LABELS = 60 };
  struct wish wishes[LABELS + 1] = {{0}};
  char domains[LABELS][2 * LABELS + 8], names[LABELS][8], expected[LABELS * 8] = "";
  for (unsigned i = 0; i < LABELS; i++) {
    size_t used = (size_t)snprintf(domains[i], sizeof domains[i], "*");
    for (unsigned label = 0; label <= i; label++)
      used += (size_t)snprintf(domains[i] + used, sizeof domains[i] - used, ".a");
    snprintf(names[i], sizeof names[i], "r%u", i);
    wishes[i] = (struct wish){.name = names[i], .domains = {domains[i]}};
  }
  for (unsigned i = LABELS; i-- > 0;)
    snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%s", expected[0] ? " " : "", names[i]);
  char name[2 * LABELS + 8] = "x";
  strcat(name, domains[LABELS - 1] + 1);
  struct route_table *table = make_table(wishes);
  struct route_question question = {.domain = name, .domain_length = strlen(name)};
  assert_string_equal(walk(&table->ports[0], &question), expected);
  assert_string_equal(walk_slowly(&table->ports[0], &question), expected);
  route_table_unref(table);
}

static void asking_again_after_the_last_is_none(void **state) {
  (void)state;
  struct route_table *table = make_table(ROUTES({"a"}));
  struct route_question question = {.domain = NULL};
  struct route_choice choice;
  route_choice_begin(&choice, &table->ports[0]);
  assert_non_null(route_choice_next(&choice, &question));
  for (int i = 0; i < 3; i++)
    assert_null(route_choice_next(&choice, &question));
  route_table_unref(table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_name_comes_before_patterns_and_more_before_less),
      cmocka_unit_test(a_wildcard_takes_any_number_of_labels_but_none),
      cmocka_unit_test(patterns_of_every_form_match),
      cmocka_unit_test(case_port_and_trailing_dot_do_not_matter),
      cmocka_unit_test(priority_goes_before_everything),
      cmocka_unit_test(domains_go_before_client_addresses),
      cmocka_unit_test(the_narrower_client_set_goes_first),
      cmocka_unit_test(tls_routes_take_tls_and_plain_ones_the_rest),
      cmocka_unit_test(the_tls_version_has_to_be_in_the_set_and_fewer_go_first),
      cmocka_unit_test(file_order_decides_between_equals),
      cmocka_unit_test(a_route_comes_once_however_it_matches),
      cmocka_unit_test(an_address_of_its_own_goes_before_the_domain),
      cmocka_unit_test(names_of_any_length_and_bytes_do_no_harm),
      cmocka_unit_test(the_index_chooses_as_one_who_looks_at_every_route),
      cmocka_unit_test(what_is_open_gives_cases_of_which_the_first_that_fits_is_the_choice),
      cmocka_unit_test(among_thousands_of_domains_each_is_found_and_no_other),
      cmocka_unit_test(a_name_may_match_at_every_one_of_many_labels),
      cmocka_unit_test(asking_again_after_the_last_is_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
