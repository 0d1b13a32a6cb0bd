-- Payments of each day, by kind.
{{ config(sort_order=['day desc', 'kind'], key=['day', 'kind']) }}
select
  cast(created_at as date) as day,
  kind,
  count(*) as payments,
  sum(amount) as amount
from {{ source('bank', 'payments') }}
where status = 'settled'
group by 1, 2
