{{ config(
    description = "Payments by day and kind: how many, how much, how many failed. The volume that the payments team watches.",
    sort_order  = ["day", "kind"],
) }}
select
    cast(p.created_at as date)                              as day,
    p.kind,
    count(*)                                                as payments,
    sum(p.amount)                                           as amount,
    count(distinct p.customer_id)                           as customers,
    sum(case when p.status = 'failed' then 1 else 0 end)    as failed
from {{ source('bank', 'payments') }} p
group by 1, 2
