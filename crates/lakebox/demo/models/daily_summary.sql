{{ config(
    description = "The bank's day in one row: payments, volume and the share that failed, with new loans beside them.",
    sort_order  = ["day"],
) }}
select
    p.day,
    sum(p.payments)                                         as payments,
    sum(p.amount)                                           as amount,
    sum(p.failed) * 1.0 / sum(p.payments)                   as failed_share,
    max(coalesce(d.loans, 0))                               as new_loans,
    max(coalesce(d.principal, 0))                           as lent
from {{ ref('daily_payments') }} p
left join {{ ref('delinquency') }} d on d.day = p.day
group by p.day
