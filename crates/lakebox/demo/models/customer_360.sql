{{ config(
    description  = "One row for each customer: who they are (masked), what they have, what they owe, what they did. Made once a minute.",
    schedule     = "* * * * *",
    sort_order   = ["customer_id"],
    partition_by = ["bucket(4, customer_id)"],
) }}
with paid as (
    select
        customer_id,
        count(*)                                                    as payments,
        sum(case when kind = 'deposit' then amount end)             as deposited,
        sum(case when kind = 'repayment' then amount end)           as repaid,
        max(created_at)                                             as last_payment_at
    from {{ source('bank', 'payments') }}
    group by customer_id
)
select
    c.id                                            as customer_id,
    c.name,
    c.email,
    c.city,
    c.segment,
    c.kyc_status,
    c.created_at                                    as customer_since,
    a.status                                        as account_status,
    a.balance,
    l.status                                        as loan_status,
    coalesce(l.outstanding, 0)                      as outstanding,
    coalesce(l.days_late, 0)                        as days_late,
    coalesce(p.payments, 0)                         as payments,
    coalesce(p.deposited, 0)                        as deposited,
    coalesce(p.repaid, 0)                           as repaid,
    p.last_payment_at
from {{ source('bank', 'customers') }} c
left join {{ source('bank', 'accounts') }} a on a.customer_id = c.id
left join {{ source('bank', 'loans') }} l on l.customer_id = c.id
left join paid p on p.customer_id = c.id
