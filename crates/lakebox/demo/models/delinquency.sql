{{ config(
    description = "Loans by the day they were paid out: how many are late or lost, and the share of money at risk.",
    sort_order  = ["day"],
) }}
select
    cast(l.disbursed_at as date)                                                            as day,
    count(*)                                                                                as loans,
    sum(l.principal)                                                                        as principal,
    sum(case when l.status = 'late' then 1 else 0 end)                                      as late,
    sum(case when l.status = 'written_off' then 1 else 0 end)                               as written_off,
    sum(case when l.status in ('late', 'written_off') then 1.0 else 0.0 end) / count(*)     as bad_share,
    sum(case when l.status = 'late' then l.outstanding else 0 end)                          as outstanding_late
from {{ source('bank', 'loans') }} l
group by 1
