/* SPDX-License-Identifier: MIT
 *
 * What of a route is told: what decides who gets it, and not the lists by which it keeps others out. */
#include "../support/tables.h"
#include "reports/routes_report.h"
#include "script/value.h"

static struct ip_set *set_of(const char *member) {
  struct error error = {0};
  struct ip_set *set = ip_set_new(&member, 1, &error);
  assert_non_null(set);
  return set;
}

static void test_no_more_than_is_asked_for(void **state) {
  (void)state;
  struct route *route = route_on("site", 80, 80);
  struct value *root = value_table();
  route->client_ips = set_of("10.0.0.0/8");
  route->security.block = set_of("192.0.2.0/24");
  const struct value *row = route_report_write(root, NULL, route);
  assert_non_null(row);
  assert_true(value_is_whole(root));
  assert_string_equal(value_get_text(row, "name"), "site");
  assert_non_null(value_get(value_get(row, "match"), "client_ip"));
  assert_non_null(value_get(value_get(row, "action"), "targets"));
  for (const struct value *field = row->first; field; field = field->next) {
    assert_string_not_equal(field->key, "security");
    assert_string_not_equal(field->key, "timeouts");
    assert_string_not_equal(field->key, "keep_alive");
  }
  value_free(root);
  route_unref(route);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_more_than_is_asked_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
