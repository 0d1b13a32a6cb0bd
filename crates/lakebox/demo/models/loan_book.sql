{{ config(
    description = "The loan book by status: how many loans, what was lent, what is still owed.",
    sort_order  = ["status"],
) }}
select
    l.status,
    count(*)                                        as loans,
    sum(l.principal)                                as principal,
    sum(l.outstanding)                              as outstanding,
    avg(l.interest_rate)                            as interest_rate_avg,
    max(l.days_late)                                as days_late_max,
    max(l.disbursed_at)                             as last_disbursed_at
from {{ source('bank', 'loans') }} l
group by l.status
